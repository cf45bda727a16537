"""Record layouts and numbers of model.demi (runtime_c/FORMAT.md is the definition)."""

from __future__ import annotations

import struct
from enum import IntEnum

MAGIC = b"\x89DMT\r\n\x1a\n"
ENDIAN = 0x01020304
MAJOR, MINOR = 1, 0
ALIGN = 64
NONE = 0xFFFFFFFF
MAX_RANK = 6
MAX_INPUTS = 8
FIRST_CUSTOM, LAST_CUSTOM = 0x8000, 0xFFFF  # opcodes of operators that plug-ins bring
LANES = 8  # CHAN arrays and packed output channels are padded to this many

HEADER = struct.Struct("<8sIHHIIIIII24x")
SECTION = struct.Struct("<4sIIIII")
TENSOR = struct.Struct("<BBHIfi6I6IfIII")
OPERATOR = struct.Struct("<HBBHHIIIIQII")
PORT = struct.Struct("<II")
PREPROCESS = struct.Struct("<7I4f5I")

SECTIONS = (
    "TENS",
    "OPER",
    "INDX",
    "INPT",
    "OUTP",
    "PARM",
    "CHAN",
    "DATA",
    "PREP",
    "NAME",
    "META",
)

DTYPE_CODES = {"float32": 1, "int8": 2, "int16": 3}
DTYPE_NAMES = {code: name for name, code in DTYPE_CODES.items()}
ITEM_SIZES = {"float32": 4, "int8": 1, "int16": 2}


class Opcode(IntEnum):
    """Operators of the runtime."""

    CONV = 1
    DECONV = 2
    POOL_MAX = 3
    POOL_AVERAGE = 4
    SUM = 5
    PROD = 6
    MAX = 7
    RESCALE = 8
    LOOKUP = 9
    UNARY = 10
    SCALE = 11
    LRN = 12
    SOFTMAX = 13
    COPY = 14
    QUANTIZE = 15
    DEQUANTIZE = 16
    CONSTANT = 17
    GATHER = 18
    EMBED = 19
    REDUCE = 20
    ARGMAX = 21
    MVN = 22
    NORMALIZE = 23
    RESIZE = 24
    POOL_MASK = 25
    UNPOOL = 26
    LSTM = 27
    RNN = 28
    DETECTION = 29
    YOLO = 30
    ROI_POOL = 31
    PSROI_POOL = 32


def opcode(number: int) -> Opcode | int:
    """An opcode of a file. Raises ValueError for one that is neither ours nor a plug-in's."""
    return number if FIRST_CUSTOM <= number <= LAST_CUSTOM else Opcode(number)


def opcode_name(code: Opcode | int) -> str:
    """For people: `CONV`, or `0x8001` of a plug-in's operator."""
    return code.name if isinstance(code, Opcode) else f"{code:#06x}"


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple that is not below n."""
    return -(-n // multiple) * multiple
