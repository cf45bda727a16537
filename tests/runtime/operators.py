"""One operator of the C runtime at a time, without a file: what the operators' tests share.

`Call` is filled as the core fills it and run on every kernel set and number of threads; tensors
stand between canaries. The arithmetic below restates FORMAT.md in unbounded Python integers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "runtime_c"
DTYPES = {np.dtype(np.float32): 1, np.dtype(np.int8): 2, np.dtype(np.int16): 3}
RANGE = {1: (0, 0), 2: (-128, 127), 3: (-32768, 32767)}
CANARY = 0xA5
OK, OPERATOR, UNSUPPORTED = 0, 11, 12
NONE = 0xFFFFFFFF


class View(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_uint32),
        ("rank", ctypes.c_uint32),
        ("dim", ctypes.c_uint32 * 6),
        ("stride", ctypes.c_uint32 * 6),
        ("scale", ctypes.c_float),
        ("inv_scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
        ("name", ctypes.c_uint32),
        ("rows", ctypes.c_uint32),
    )


class Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint32))


class RawCall(ctypes.Structure):
    _fields_ = (
        ("param", ctypes.c_void_p),
        ("param_size", ctypes.c_uint32),
        ("inputs", ctypes.c_uint32),
        ("dtype", ctypes.c_uint32),
        ("views", View * 8),
        ("out", View),
        ("rows", ctypes.c_void_p),
        ("chan", Bytes),
        ("data", Bytes),
        ("scratch", ctypes.c_void_p),
        ("threads", ctypes.c_uint32),
        ("parallel_for", ctypes.c_void_p),
        ("user", ctypes.c_void_p),
    )


def flags() -> list[str]:
    include = [f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
    return [*(RUNTIME / "cflags.txt").read_text().split(), *include]


def build(main: str = "ops_driver", options: tuple[str, ...] = (), compiler: str = "gcc") -> Path:
    """The kernels and a file of runtime_c/tests, built once for each state of the sources.

    A library for ctypes, or with other options (the last of which win) a program.
    """
    sources = [*sorted(RUNTIME.glob("kernels/*/*.c")), RUNTIME / "tests" / f"{main}.c"]
    command = [compiler, *flags(), *(options or ("-fPIC", "-shared"))]
    state = hashlib.sha256(repr(command).encode())
    for path in sorted([*RUNTIME.rglob("*.h"), *sources]):
        state.update(path.read_bytes())
    out = ROOT / "build" / "tests" / f"{main}_{state.hexdigest()[:16]}"
    if not out.exists():
        folder = out.with_suffix(f".{os.getpid()}")
        folder.mkdir(parents=True, exist_ok=True)
        compiles = [
            subprocess.Popen([*command, "-c", path, "-o", folder / f"{i}.o"])
            for i, path in enumerate(sources)
        ]
        assert not any([process.wait() for process in compiles])
        objects = sorted(folder.glob("*.o"))
        subprocess.run([*command, *objects, "-o", folder / "built"], check=True)
        (folder / "built").rename(out)
        shutil.rmtree(folder)
    return out


def kernel_sets() -> list[int]:
    """0 generic, 1 AVX2 where the machine has it."""
    cpu = Path("/proc/cpuinfo")
    return [0, 1] if cpu.exists() and "avx2" in cpu.read_text() else [0]


def aligned(data: bytes | int) -> np.ndarray:
    """Bytes at a multiple of 64."""
    size = data if isinstance(data, int) else len(data)
    buffer = np.zeros(size + 128, np.uint8)
    start = -buffer.ctypes.data % 64
    view = buffer[start : start + size]
    if not isinstance(data, int):
        view[:] = np.frombuffer(data, np.uint8)
    return view


@dataclass
class Tensor:
    """Values in Caffe's order inside a buffer of canaries.

    `order` lists the axes from the outermost in memory to the innermost; `gap` elements follow each
    row of the innermost axis.
    """

    values: np.ndarray
    scale: float = 1.0
    zero: int = 0
    gap: int = 0
    order: tuple[int, ...] = ()
    buffer: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        item, shape = self.values.itemsize, self.values.shape
        order = self.order or ((0, 2, 3, 1) if len(shape) == 4 else tuple(range(len(shape))))
        self.strides = [0] * len(shape)
        step = item
        for position, axis in enumerate(reversed(order)):
            self.strides[axis] = step
            step *= shape[axis]
            if position == 0:
                step += self.gap * item
        self.offset = self.gap * item
        size = self.offset + step + self.gap * item
        self.buffer = aligned(bytes([CANARY]) * size)
        self.array[...] = self.values

    @property
    def array(self) -> np.ndarray:
        """The elements as they are now, a view of the buffer."""
        return np.lib.stride_tricks.as_strided(
            self.buffer[self.offset :]
            .view(np.uint8)[
                : (len(self.buffer) - self.offset) // self.values.itemsize * self.values.itemsize
            ]
            .view(self.values.dtype),
            self.values.shape,
            self.strides,
        )

    def untouched(self) -> bool:
        """Whether nothing but the elements was written."""
        expected = Tensor(self.array, self.scale, self.zero, self.gap, self.order)
        return bool(np.array_equal(expected.buffer, self.buffer))

    def view(self) -> View:
        rank = self.values.ndim
        return View(
            self.buffer.ctypes.data + self.offset,
            DTYPES[self.values.dtype],
            rank,
            (ctypes.c_uint32 * 6)(*self.values.shape, *([1] * (6 - rank))),
            (ctypes.c_uint32 * 6)(*self.strides),
            self.scale,
            np.float32(1 / np.float64(np.float32(self.scale))),
            self.zero,
            NONE,
            NONE,
        )


@dataclass
class Expanded:
    """A tensor whose axes of one element are read `shape` times, with stride 0."""

    tensor: Tensor
    shape: tuple[int, ...]

    @property
    def values(self) -> np.ndarray:
        return np.broadcast_to(self.tensor.values, self.shape)

    @property
    def buffer(self) -> np.ndarray:
        return self.tensor.buffer

    def view(self) -> View:
        view = self.tensor.view()
        for axis, size in enumerate(self.shape):
            if view.dim[axis] != size:
                view.dim[axis], view.stride[axis] = size, 0
        return view


@dataclass
class Call:
    opcode: int
    inputs: list[Tensor | Expanded]
    out: Tensor
    param: bytes = b""
    chan: bytes = b""
    data: bytes = b""
    rows: np.ndarray | None = None  # uint32 (1,): the output has as many rows as are found

    def raw(self, threads: int = 1) -> RawCall:
        self.kept = [aligned(self.param), aligned(self.chan), aligned(self.data)]
        param, chan, data = self.kept
        raw = RawCall(param.ctypes.data, len(param), len(self.inputs), self.inputs[0].view().dtype)
        for i, tensor in enumerate(self.inputs):
            raw.views[i] = tensor.view()
        raw.out = self.out.view()
        if self.rows is not None:
            raw.rows, raw.out.rows = self.rows.ctypes.data, 0
        raw.chan = Bytes(chan.ctypes.data, len(chan))
        raw.data = Bytes(data.ctypes.data, len(data))
        raw.threads = threads
        return raw

    def check(self, library: ctypes.CDLL, avx2: int = 0) -> int:
        scratch = ctypes.c_uint32()
        return library.ops_check(avx2, self.opcode, ctypes.byref(self.raw()), ctypes.byref(scratch))

    def run(self, library: ctypes.CDLL) -> np.ndarray:
        """The output, after proving that all kernel sets and thread counts give the same bytes."""
        before = self.out.buffer.copy()
        inputs = [tensor.buffer.copy() for tensor in self.inputs]
        results = []
        for avx2 in kernel_sets():
            for threads in (1, 3):
                self.out.buffer[:] = before
                for tensor, saved in zip(self.inputs, inputs, strict=True):
                    tensor.buffer[:] = saved
                self._run_once(library, avx2, threads)
                assert self.out.untouched(), "written between the elements"
                for tensor, saved in zip(self.inputs, inputs, strict=True):
                    if tensor is not self.out:
                        assert np.array_equal(tensor.buffer, saved), "input changed"
                results.append(self.out.array.copy())
                if self.rows is not None:
                    results[-1] = results[-1][:, :, : self.rows[0]]
        for other in results[1:]:
            np.testing.assert_array_equal(bits(results[0]), bits(other))
        return results[0]

    def _run_once(self, library: ctypes.CDLL, avx2: int, threads: int) -> None:
        raw, bytes_ = self.raw(threads), ctypes.c_uint32()
        status = library.ops_check(avx2, self.opcode, ctypes.byref(raw), ctypes.byref(bytes_))
        assert status == OK, f"refused with {status}"
        size = bytes_.value * threads
        scratch = aligned(bytes([CANARY]) * (size + 64))
        raw.scratch = scratch.ctypes.data
        assert library.ops_run(avx2, self.opcode, ctypes.byref(raw)) == OK
        assert (scratch[size:] == CANARY).all(), "written behind the scratch"


def bits(array: np.ndarray) -> np.ndarray:
    """Float32 as words, all zeros and all NaNs being alike."""
    if array.dtype != np.float32:
        return array
    return np.where(np.isnan(array), np.float32(np.nan), array + np.float32(0)).view(np.uint32)


# --- FORMAT.md, Arithmetic ------------------------------------------------------------------------


def wrap32(a: int) -> int:
    return (int(a) + 2**31) % 2**32 - 2**31


def saturate32(a: int) -> int:
    return max(-(2**31), min(2**31 - 1, int(a)))


def srdhm(a: int, m: int) -> int:
    return saturate32((2 * int(a) * int(m) + 2**31) >> 32)


def rshr(a: int, r: int) -> int:
    return (int(a) + 2 ** (int(r) - 1)) >> int(r) if r else int(a)


def rq(a: int, m: int, left: int, right: int) -> int:
    return rshr(srdhm(saturate32(int(a) << int(left)), m), right)


def clamp(a: int, low: int, high: int) -> int:
    return max(low, min(high, a))


# --- Numbers to try -------------------------------------------------------------------------------


def integers(
    rng: np.random.Generator, dtype: type, shape: tuple[int, ...], fill: str
) -> np.ndarray:
    """Random values, or one or both of the type's extremes."""
    low, high = RANGE[DTYPES[np.dtype(dtype)]]
    if fill == "random":
        return rng.integers(low, high + 1, shape).astype(dtype)
    choices = {"low": [low], "high": [high], "extremes": [low, high, -1, 0, 1]}[fill]
    return rng.choice(choices, shape).astype(dtype)


def multipliers(rng: np.random.Generator, count: int, kind: str) -> np.ndarray:
    """(3, count): multiplier, left, right.

    "sane" is what a converter writes; "exact" is a factor of 1, where no error can hide; "odd" may
    be anything.
    """
    m = rng.integers(2**30, 2**31, count)
    if kind == "sane":
        rows = [m, rng.integers(0, 3, count), rng.integers(4, 14, count)]
    elif kind == "exact":
        rows = [np.full(count, 2**30), np.ones(count), np.zeros(count)]
    else:
        odd = rng.choice([-(2**31), -(2**31) + 1, -(2**30), 0, 1, 2**30, 2**31 - 1], count)
        m = np.where(rng.random(count) < 0.5, odd, np.where(rng.random(count) < 0.5, -m, m))
        rows = [m, rng.choice([0, 1, 7, 30, 31], count), rng.choice([0, 1, 8, 30, 31], count)]
    return np.array(rows, np.int64).astype(np.int32)


def arrays(*rows: np.ndarray) -> bytes:
    """CHAN: every row padded to a multiple of eight words."""
    out = b""
    for row in rows:
        out += row.tobytes() + bytes(-len(row) % 8 * 4)
    return out


def words(*values: int | float) -> bytes:
    """A record of u32, s32 and f32."""
    out = b""
    for value in values:
        if isinstance(value, float | np.floating):
            out += struct.pack("<f", value)
        else:
            out += struct.pack("<I", int(value) & 0xFFFFFFFF)
    return out
