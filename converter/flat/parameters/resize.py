"""Parameter record of resizing."""

from __future__ import annotations

import struct

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import node_of
from demitasse.converter.ops import Resize
from demitasse.converter.ops.resize import RULES


def resize(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, Resize)
    return struct.pack("<3I", RULES.index(op.rule), *op.crop)
