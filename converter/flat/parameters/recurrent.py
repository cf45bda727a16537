"""Parameter records of LSTM and RNN."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import Sections, pack
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import node_of, weights_of
from demitasse.converter.ops import Rnn
from demitasse.converter.ops.recurrent import Recurrent


def recurrent(step: Step, sections: Sections) -> bytes:
    op, w = node_of(step).op, weights_of(step)
    assert isinstance(op, Recurrent)

    def matrix(key: str) -> int:
        if key not in w:
            return 0
        taps = w[key].astype(np.float32)[:, None, None]
        return sections.tensor(pack(taps, 1, 1))

    def bias(key: str) -> int:
        return sections.arrays([w[key].astype(np.float32)], w[key].size)

    fields = [op.static, op.expose > 0, bias("bias")]
    fields += [matrix(key) for key in ("input", "static", "hidden")]
    if isinstance(op, Rnn):
        fields += [matrix("output"), bias("output_bias")]
    return struct.pack(f"<{len(fields)}I", *fields)
