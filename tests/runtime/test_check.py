"""Files that a reader must refuse, each with the status that says why; and what it must accept."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable

import numpy as np
import pytest

from demitasse.errors import DemitasseError, ModelFileError
from demitasse.runtime import library as lib
from demitasse.runtime.model import Model
from tests.runtime import builder as b

OK, ARGUMENT, ALIGNMENT, MAGIC, ENDIAN, VERSION, FEATURE, TRUNCATED, CRC = range(9)
SECTION, TENSOR, OPERATOR, UNSUPPORTED, MEMORY, IMAGE, STOPPED = range(9, 16)

# Offsets of section table entries: the order of FORMAT.md without the empty CHAN and DATA.
ENTRIES = {
    key: 64 + 24 * i for i, key in enumerate(("TENS", "OPER", "INDX", "INPT", "OUTP", "NAME"))
}


@pytest.fixture(scope="module")
def good() -> bytes:
    return b.chain("int8", 0.5, 3).build()


def config(threads: int = 1) -> lib.Config:
    return lib.Config(lib.load().dmt_kernels(b"generic", None), threads, None, None, None)


def block(data: bytes, shift: int = 0) -> np.ndarray:
    """The bytes at a multiple of 64, plus `shift`."""
    memory = np.zeros(len(data) + 192, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return memory[start : start + max(len(data), 1)]


def check(data: bytes, shift: int = 0) -> tuple[int, int, int]:
    """Status, index and offset of dmt_check; dmt_sizes and dmt_init agree with it."""
    model, where, sizes = block(data, shift), lib.Where(), lib.Sizes()
    library, given = lib.load(), (model.ctypes.data, len(data))
    status = library.dmt_check(config(), *given, where)
    assert library.dmt_sizes(config(), *given, sizes) == status
    memory, context = block(bytes(1 << 16)), ctypes.c_void_p()
    rooms = (memory.ctypes.data, 1 << 15, memory.ctypes.data + (1 << 15), 1 << 15)
    assert library.dmt_init(config(), *given, *rooms, context) == status
    assert bool(context.value) == (status == OK)
    return status, where.index, where.offset


def test_the_good_file_passes_everywhere(good: bytes) -> None:
    assert check(good)[0] == OK


def test_every_truncation_is_refused(good: bytes) -> None:
    assert {check(good[:size])[0] for size in range(len(good))} == {TRUNCATED}


def test_every_truncation_that_owns_up_to_it_is_refused(good: bytes) -> None:
    """The header says the new size, and the checksum is right."""
    cuts = [b.patched(good[:size], 24, "I", size) for size in range(64, len(good))]
    assert {check(cut)[0] for cut in cuts} == {SECTION}


def test_no_data_at_all_is_refused(good: bytes) -> None:
    assert lib.load().dmt_check(config(), None, 0, lib.Where()) == ARGUMENT
    assert lib.load().dmt_check(None, block(good).ctypes.data, len(good), None) == ARGUMENT


def test_every_flipped_bit_of_header_and_table_is_refused(good: bytes) -> None:
    for at in range(64 + 24 * len(ENTRIES)):
        for bit in range(8):
            changed = bytearray(good)
            changed[at] ^= 1 << bit
            minor = at in (14, 15)
            expected = CRC if minor else None
            status = check(bytes(changed))[0]
            assert status != OK, f"bit {bit} of byte {at}"
            assert expected is None or status == expected


def test_every_flipped_bit_elsewhere_fails_the_checksum(good: bytes) -> None:
    for at in range(64, len(good), 7):
        changed = bytearray(good)
        changed[at] ^= 1
        assert check(bytes(changed)) == (CRC, 0, 28)


@pytest.mark.parametrize("shift", [1, 2, 4, 32])
def test_a_misaligned_model_is_refused(good: bytes, shift: int) -> None:
    assert check(good, shift)[0] == ALIGNMENT


def test_what_a_later_minor_may_do_is_read(good: bytes) -> None:
    assert check(b.patched(good, 14, "H", 9))[0] == OK
    assert check(good + b"more in flash")[0] == OK
    file = b.chain("int8", 0.5, 3)
    file.minor = 1
    file.extra_sections = [(b"WHAT", b"unknown"), (b"EVER", b"")]
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    wider = Model(file.build(widen=4)).run_quantized({"data": x})["out"]
    np.testing.assert_array_equal(wider, Model(good).run_quantized({"data": x})["out"])


def test_a_larger_header_is_read(good: bytes) -> None:
    """header_size says where the table stands, not 64."""
    grown = good[:64] + bytes(64) + good[64:]
    grown = b.patched(grown, 16, "I", 128)
    grown = b.patched(grown, 24, "I", len(grown))
    for entry in ENTRIES.values():
        offset = struct.unpack_from("<I", grown, entry + 64 + 4)[0]
        grown = b.patched(grown, entry + 64 + 4, "I", offset + 64)
    assert check(grown)[0] == OK


@pytest.mark.parametrize(
    ("at", "layout", "value", "status"),
    [
        (0, "B", 0x88, MAGIC),
        (4, "B", 10, MAGIC),
        (8, "I", 0x04030201, ENDIAN),
        (8, "I", 0, ENDIAN),
        (12, "H", 0, VERSION),
        (12, "H", 2, VERSION),
        (16, "I", 60, SECTION),
        (16, "I", 66, SECTION),
        (16, "I", 0xFFFFFFFC, SECTION),
        (20, "I", 65, SECTION),
        (20, "I", 0xFFFFFFFF, SECTION),
        (20, "I", 0x0AAAAAAB, SECTION),  # times 24 wraps to 8
        (32, "I", 8, FEATURE),
        (32, "I", 0x80000000, FEATURE),
        (36, "I", 191, SECTION),
        (36, "I", 0x80000000, SECTION),
        (36, "I", 128, TENSOR),
        (ENTRIES["TENS"] + 4, "I", 64, SECTION),  # inside the table
        (ENTRIES["TENS"] + 4, "I", 0xFFFFFFC0, SECTION),
        (ENTRIES["TENS"] + 8, "I", 0xFFFFFFFF, SECTION),
        (ENTRIES["TENS"] + 12, "I", 0, SECTION),
        (ENTRIES["TENS"] + 12, "I", 76, SECTION),
        (ENTRIES["TENS"] + 12, "I", 82, SECTION),
        (ENTRIES["TENS"] + 16, "I", 4, SECTION),
        (ENTRIES["TENS"] + 16, "I", 0x33333336, SECTION),  # times 80 wraps to 224
        (ENTRIES["OPER"] + 0, "4s", b"TENS", SECTION),  # twice
        (ENTRIES["OPER"] + 4, "I", 256, SECTION),  # overlaps
        (ENTRIES["INDX"] + 4, "I", 1, SECTION),
        (ENTRIES["NAME"] + 12, "I", 2, SECTION),
    ],
)
def test_header_and_table(good: bytes, at: int, layout: str, value: float, status: int) -> None:
    assert check(b.patched(good, at, layout, value))[0] == status


@pytest.mark.parametrize(
    ("at", "layout", "value"),
    [
        (0, "B", 0),
        (0, "B", 4),
        (1, "B", 0),
        (1, "B", 7),
        (1, "B", 3),  # then the fourth dimension and stride are not 1 and 0
        (4, "I", 192),
        (4, "I", 192 - 11),
        (4, "I", 0xFFFFFFFF),
        (8, "f", 0.0),
        (8, "f", -1.0),
        (8, "f", float("inf")),
        (8, "f", float("nan")),
        (12, "i", 128),
        (12, "i", -129),
        (16, "I", 0),
        (24, "I", 66),
        (24, "I", 0xFFFFFFFF),
        (32, "I", 2),  # a fifth dimension in rank 4
        (40, "I", 0x7FFFFFFF),
        (44, "I", 256),
        (48, "I", 0x80000000),
        (56, "I", 1),
        (64, "f", 0.0),
        (64, "f", float("inf")),
        (68, "I", 0x7FFFFFFF),
        (72, "I", 3),
    ],
)
def test_tensors(good: bytes, at: int, layout: str, value: float) -> None:
    record = b.section_offset(good, "TENS") + 80
    broken = b.patched(good, record + at, layout, value)
    if (at, value) == (40, 0x7FFFFFFF):
        broken = b.patched(broken, record + 16, "I", 2)  # a stride counts from two on
    assert check(broken) == (TENSOR, 1, record)


@pytest.mark.parametrize(
    ("dtype", "at", "layout", "value"),
    [
        ("float32", 8, "f", 2.0),
        ("float32", 12, "i", 1),
        ("float32", 4, "I", 2),
        ("float32", 48, "I", 6),
        ("int16", 12, "i", 1),
        ("int16", 4, "I", 65),
        ("int16", 44, "I", 3),
    ],
)
def test_tensors_of_other_types(dtype: str, at: int, layout: str, value: float) -> None:
    good = b.chain(dtype).build()
    record = b.section_offset(good, "TENS")
    assert check(good)[0] == OK
    assert check(b.patched(good, record + at, layout, value)) == (TENSOR, 0, record)


def test_more_elements_than_the_arena_has_bytes_are_refused() -> None:
    """Strides of 0 repeat elements; their number must still fit what a kernel multiplies."""
    for shape, status in (((3, 64), OK), ((3, 65), TENSOR), ((0xFFFFFFFF,) * 6, TENSOR)):
        tensor = b.Tensor(shape, dtype="int8", strides=(0,) * len(shape))
        assert check(b.File(tensors=[tensor], arena=192).build())[0] == status


@pytest.mark.parametrize(
    ("at", "layout", "value", "status"),
    [
        (0, "H", 0, UNSUPPORTED),
        (0, "H", 999, UNSUPPORTED),
        (2, "B", 1, OPERATOR),  # not its input's dtype
        (2, "B", 9, OPERATOR),
        (3, "B", 0, UNSUPPORTED),
        (3, "B", 2, UNSUPPORTED),
        (4, "H", 0, OPERATOR),
        (4, "H", 9, OPERATOR),
        (4, "H", 4, OPERATOR),  # past the end of INDX
        (6, "H", 0, OPERATOR),
        (6, "H", 2, OPERATOR),
        (8, "I", 3, OPERATOR),
        (8, "I", 4, OPERATOR),
        (8, "I", 0xFFFFFFFF, OPERATOR),
        (12, "I", 4, OPERATOR),
        (12, "I", 0xFFFFFFFC, OPERATOR),
        (16, "I", 1, OPERATOR),
        (16, "I", 0xFFFFFFFF, OPERATOR),
        (20, "I", 0x7FFFFFFF, OPERATOR),
        (32, "I", 32, OPERATOR),  # scratch that is not aligned
        (32, "I", 256, OPERATOR),  # or past the arena
        (36, "I", 193, OPERATOR),
        (36, "I", 0xFFFFFFFF, OPERATOR),
    ],
)
def test_operators(good: bytes, at: int, layout: str, value: float, status: int) -> None:
    record = b.section_offset(good, "OPER") + 40
    assert check(b.patched(good, record + at, layout, value)) == (status, 1, record)


@pytest.mark.parametrize("position", range(4))
def test_indices_past_the_tensors(good: bytes, position: int) -> None:
    index = b.section_offset(good, "INDX") + 4 * position
    for value in (3, 0xFFFFFFFF):
        assert check(b.patched(good, index, "I", value))[:2] == (OPERATOR, position // 2)


def test_shapes_that_an_operator_refuses() -> None:
    file = b.chain()
    file.tensors[1] = b.Tensor((11,), 64, after=1)
    assert check(file.build())[:2] == (OPERATOR, 0)


@pytest.mark.parametrize("key", ["INPT", "OUTP"])
def test_inputs_and_outputs(good: bytes, key: str) -> None:
    record = b.section_offset(good, key)
    assert check(b.patched(good, record, "I", 3))[::2] == (SECTION, record)
    assert check(b.patched(good, record + 4, "I", 0x7FFFFFFF))[::2] == (SECTION, record)
    assert check(b.patched(good, record + 4, "I", b.NONE))[0] == OK


def test_names_without_an_end(good: bytes) -> None:
    names = b.section_offset(good, "NAME")
    assert check(b.patched(good, len(good) - 1, "B", 65))[::2] == (SECTION, names)


def picture(**change: object) -> b.File:
    """One int8 input of 3 x 4 x 5 with a preprocessing record."""
    prep = b.Prep(**{"order": 1, **change})  # type: ignore[arg-type]
    return b.File(
        tensors=[b.Tensor((1, 3, 4, 5), dtype="int8", name="data")],
        inputs=[(0, "data")],
        prep=[prep],
        data=bytes(768),
    )


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, OK),
        ({"order": 2}, OK),
        ({"order": 0}, SECTION),
        ({"order": 3}, SECTION),
        ({"input": 1}, SECTION),
        ({"fit": 1}, OK),
        ({"fit": 2}, OK),
        ({"fit": 3}, SECTION),
        ({"resize": (5, 4)}, OK),
        ({"resize": (16384, 4)}, OK),
        ({"resize": (16385, 4)}, SECTION),
        ({"resize": (4, 4)}, SECTION),
        ({"resize": (0, 3)}, SECTION),
        ({"resize": (5, 4), "fit": 1}, SECTION),
        ({"table": 64}, SECTION),
        ({"table": 1}, SECTION),
        ({"table": 0xFFFFFFC0}, SECTION),
        ({"mean": 0, "table": b.NONE}, OK),  # 240 bytes
        ({"mean": 512}, OK),
        ({"mean": 576}, SECTION),
    ],
)
def test_preprocessing(change: dict[str, object], status: int) -> None:
    assert check(picture(**change).build())[0] == status


def test_preprocessing_of_an_input_that_is_no_picture() -> None:
    for shape in ((1, 3, 20), (1, 4, 4, 5), (2, 3, 4, 5)):
        file = picture()
        file.tensors[0].shape = shape
        assert check(file.build())[0] == SECTION


def init(data: bytes, persistent: int, arena: int, shift: int = 0) -> int:
    """Status of dmt_init with so many bytes of memory."""
    model, memory, context = block(data), block(bytes(1 << 16)), ctypes.c_void_p()
    at = memory.ctypes.data + shift
    given = (model.ctypes.data, len(data), at, persistent, at + (1 << 15), arena)
    return lib.load().dmt_init(config(), *given, context)


def test_memory_that_is_too_small_or_misaligned(good: bytes) -> None:
    sizes, model = lib.Sizes(), block(good)
    assert lib.load().dmt_sizes(config(), model.ctypes.data, len(good), sizes) == OK
    assert sizes.arena >= 192
    assert init(good, sizes.persistent, sizes.arena) == OK
    assert init(good, sizes.persistent - 1, sizes.arena) == MEMORY
    assert init(good, sizes.persistent, sizes.arena - 1) == MEMORY
    assert init(good, sizes.persistent, 0) == MEMORY
    assert init(good, sizes.persistent, sizes.arena, shift=4) == ALIGNMENT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"hello", "not a model.demi; make one with demitasse compile"),
        (lambda data: b"", "truncated"),
        (lambda data: data[:-1], "truncated: shorter than its header says; copy it again"),
        (lambda data: data[:-1] + b"!", "damaged"),
        (lambda data: b.patched(data, 12, "H", 7), "another format version; compile the model"),
        (
            lambda data: b.patched(data, b.section_offset(data, "TENS"), "B", 9),
            r"broken tensor record \(tensor 0, at byte 256\)",
        ),
        (
            lambda data: b.patched(data, b.section_offset(data, "OPER") + 40, "H", 77),
            r"no operator in this build .*\(operator 1, at byte ",
        ),
    ],
)
def test_python_names_the_file_and_the_reason(
    good: bytes, tmp_path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "net.demi"
    path.write_bytes(change(good))
    with pytest.raises(ModelFileError, match=message) as caught:
        Model.open(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_missing_kernels_are_said(good: bytes, tmp_path) -> None:
    with pytest.raises(ModelFileError, match=r"missing\.demi: No such file"):
        Model.open(tmp_path / "missing.demi")
    with pytest.raises(DemitasseError, match="no kernels 'vax'"):
        Model(good, kernels="vax")
