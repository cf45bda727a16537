"""The shared library of the C runtime, declared for ctypes: `include/demitasse.h`."""

from __future__ import annotations

import ctypes as c
import functools
import sysconfig
from pathlib import Path
from typing import Any, ClassVar

from demitasse.errors import DemitasseError

ALIGN = 64
MAX_RANK = 6
NONE = 0xFFFFFFFF
PATH = Path(__file__).parent / f"libdemitasse_host{sysconfig.get_config_var('SHLIB_SUFFIX')}"

OK, E_MEMORY, E_IMAGE, E_STOPPED = 0, 13, 14, 15  # of dmt_status, those that callers tell apart
E_MAGIC, E_TRUNCATED, E_CRC, E_SECTION, E_TENSOR, E_OPERATOR, E_UNSUPPORTED = 3, 7, 8, 9, 10, 11, 12

DTYPES = {1: "float32", 2: "int8", 3: "int16"}
PIXELS = {"gray": 0, "rgb": 1, "bgr": 2, "bgra": 3, "nv12": 4}

# void (*)(user, count, task, argument) and int (*)(user, context, operator, phase)
ParallelFor = c.CFUNCTYPE(None, c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p)
Observer = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_uint32, c.c_int)


class View(c.Structure):
    """dmt_view: a tensor in memory."""

    _fields_: ClassVar = [
        ("data", c.c_void_p),
        ("dtype", c.c_uint32),
        ("rank", c.c_uint32),
        ("dim", c.c_uint32 * MAX_RANK),
        ("stride", c.c_uint32 * MAX_RANK),
        ("scale", c.c_float),
        ("inv_scale", c.c_float),
        ("zero_point", c.c_int32),
        ("name", c.c_uint32),
        ("rows", c.c_uint32),
    ]


class Config(c.Structure):
    """dmt_config."""

    _fields_: ClassVar = [
        ("operators", c.c_void_p),
        ("threads", c.c_uint32),
        ("parallel_for", c.c_void_p),
        ("observer", c.c_void_p),
        ("user", c.c_void_p),
    ]


class Sizes(c.Structure):
    """dmt_memory."""

    _fields_: ClassVar = [("persistent", c.c_size_t), ("arena", c.c_size_t)]


class Where(c.Structure):
    """dmt_where."""

    _fields_: ClassVar = [("index", c.c_uint32), ("offset", c.c_uint32)]


class Frame(c.Structure):
    """dmt_frame."""

    _fields_: ClassVar = [
        ("data", c.c_void_p),
        ("chroma", c.c_void_p),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("row_stride", c.c_uint32),
        ("pixels", c.c_int),
    ]


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "dmt_kernels": (c.c_void_p, [c.c_char_p, c.POINTER(c.c_char_p)]),
    "dmt_check": (c.c_int, [c.POINTER(Config), c.c_void_p, c.c_size_t, c.POINTER(Where)]),
    "dmt_sizes": (c.c_int, [c.POINTER(Config), c.c_void_p, c.c_size_t, c.POINTER(Sizes)]),
    "dmt_init": (
        c.c_int,
        [c.POINTER(Config), c.c_void_p, c.c_size_t]
        + [c.c_void_p, c.c_size_t] * 2
        + [c.POINTER(c.c_void_p)],
    ),
    "dmt_run": (c.c_int, [c.c_void_p]),
    "dmt_input_count": (c.c_uint32, [c.c_void_p]),
    "dmt_output_count": (c.c_uint32, [c.c_void_p]),
    "dmt_operator_count": (c.c_uint32, [c.c_void_p]),
    "dmt_tensor_count": (c.c_uint32, [c.c_void_p]),
    "dmt_input": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(View)]),
    "dmt_output": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(View)]),
    "dmt_tensor": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(View), c.POINTER(c.c_uint32)]),
    "dmt_result": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(View)]),
    "dmt_input_name": (c.c_char_p, [c.c_void_p, c.c_uint32]),
    "dmt_output_name": (c.c_char_p, [c.c_void_p, c.c_uint32]),
    "dmt_operator_name": (c.c_char_p, [c.c_void_p, c.c_uint32]),
    "dmt_operator_opcode": (c.c_uint32, [c.c_void_p, c.c_uint32]),
    "dmt_operator_macs": (c.c_uint64, [c.c_void_p, c.c_uint32]),
    "dmt_name": (c.c_char_p, [c.c_void_p, c.c_uint32]),
    "dmt_write_f32": (None, [c.POINTER(View), c.c_void_p]),
    "dmt_read_f32": (None, [c.POINTER(View), c.c_void_p]),
    "dmt_image": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(Frame)]),
    "dmt_resize_bilinear_u8": (
        None,
        [c.c_void_p, c.c_uint32, c.c_uint32, c.c_uint32] * 2 + [c.c_uint32],
    ),
    "dmt_strerror": (c.c_char_p, [c.c_int]),
    "dmt_pool_size": (c.c_size_t, [c.c_uint32]),
    "dmt_pool_start": (c.c_void_p, [c.c_void_p, c.c_uint32]),
    "dmt_pool_stop": (None, [c.c_void_p]),
}


@functools.cache
def load() -> c.CDLL:
    """The library, every function with its types. Raises DemitasseError where it is missing."""
    try:
        library = c.CDLL(str(PATH))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        why = "missing" if not PATH.exists() else str(error)
        raise DemitasseError(
            f"the host library of the C runtime cannot be loaded ({why})",
            file=PATH,
            remedy="run `make lib`, or install gcc and libc6-dev and then demitasse again",
        ) from None
    return library


def address(function: Any) -> int | None:
    """A function as a plain pointer."""
    return c.cast(function, c.c_void_p).value
