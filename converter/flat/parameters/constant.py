"""Parameter record of a constant."""

from __future__ import annotations

import struct

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import weights_of


def constant(step: Step, sections: Sections) -> bytes:
    return struct.pack("<I", sections.tensor(weights_of(step)["value"].astype(step.output.dtype)))
