"""A model.demi on this machine."""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from demitasse.errors import DataError, DemitasseError, ModelFileError, ShapeError
from demitasse.runtime import library as lib
from demitasse.runtime.image import make_frame
from demitasse.runtime.operators import with_added
from demitasse.runtime.rows import join_rows

Blobs = dict[str, np.ndarray]

OPCODES = (
    *("?", "CONV", "DECONV", "POOL_MAX", "POOL_AVERAGE", "SUM", "PROD", "MAX", "RESCALE"),
    *("LOOKUP", "UNARY", "SCALE", "LRN", "SOFTMAX", "COPY", "QUANTIZE", "DEQUANTIZE", "CONSTANT"),
    *("GATHER", "EMBED", "REDUCE", "ARGMAX", "MVN", "NORMALIZE", "RESIZE", "POOL_MASK", "UNPOOL"),
    *("LSTM", "RNN", "DETECTION", "YOLO", "ROI_POOL", "PSROI_POOL"),
)
_REMEDIES = {
    lib.E_MAGIC: "make one with demitasse compile",
    lib.E_TRUNCATED: "copy it again",
    lib.E_CRC: "copy it again",
    lib.E_UNSUPPORTED: "compile the model again with this version of demitasse, or load the "
    "library of its operators: --operators LIB.so",
}
_COMPILE_AGAIN = "compile the model again with this version of demitasse"
_PLACES = {
    lib.E_SECTION: "section or record",
    lib.E_TENSOR: "tensor",
    lib.E_OPERATOR: "operator",
    lib.E_UNSUPPORTED: "operator",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a tensor holds: real = scale * (stored - zero_point); shape as Caffe's, batch 1.

    counted: a run finds some number of rows (axis 2), and the shape has the most there can be.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a context needs on this machine: its own, and those of tensors and scratch."""

    persistent: int
    arena: int


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """A row of a profile: mean time of one run, multiply-accumulates of one sample."""

    name: str
    operator: str
    milliseconds: float
    macs: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    info: TensorInfo
    view: lib.View
    look: Callable[[lib.View], object]  # again: a run changes the number of rows

    def read(self) -> np.ndarray:
        """float32 in real units, a new array."""
        view = self._now()
        out = np.empty(tuple(view.dim[: view.rank]), np.float32)
        if out.size:
            lib.load().dmt_read_f32(view, out.ctypes.data)
        return out

    def stored(self) -> np.ndarray:
        """The elements as the arena has them, a new array."""
        view = self._now()
        shape, dtype = tuple(view.dim[: view.rank]), np.dtype(self.info.dtype)
        steps = tuple(view.stride[: view.rank])
        extent = dtype.itemsize + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
        memory = (ctypes.c_uint8 * extent).from_address(view.data)
        return np.ndarray(shape, dtype, memory, strides=steps).copy()

    def _now(self) -> lib.View:
        """The view, with the rows that there are."""
        if not self.info.counted:
            return self.view
        view = lib.View()
        self.look(view)
        view.dim[2] = view.rows
        return view


class Model:
    """A compiled network, ready to run.

    Blobs are float32 in real units and Caffe's order (N, C, H, W), in dicts keyed by Caffe's blob
    names. A model that holds one sample takes any batch, a sample after the other. A Model may be
    used from several threads; they take turns (one model for each thread runs at the same time).
    """

    def __init__(
        self,
        data: bytes | np.ndarray,
        *,
        kernels: str | None = None,
        threads: int = 1,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Load the bytes of a model.demi; `file` is what errors name. See `open`."""
        if threads < 1:
            raise DemitasseError(f"{threads} threads", remedy="give 1 or more")
        self._c = lib.load()
        self._file = file
        self._lock = threading.Lock()
        found = ctypes.c_char_p()
        operators = self._c.dmt_kernels(kernels and kernels.encode(), ctypes.byref(found))
        if not operators:
            raise DemitasseError(
                f"this machine has no kernels '{kernels}'", remedy="generic runs everywhere"
            )
        self.kernels = (found.value or b"").decode()
        self._model = _aligned(len(data))
        self._model[: len(data)] = np.frombuffer(data, np.uint8)
        self._size = len(data)
        self._operators = with_added(operators)
        table = ctypes.addressof(self._operators)
        self._config = lib.Config(table, threads, None, None, None)
        if threads > 1:
            self._start_pool(threads)
        self.memory = self._sizes(self._config)
        self._arena = _aligned(self.memory.arena)
        self._context = self._make_context(self._config)
        self._observed: _Observed | None = None
        self._inputs = self._ports("input")
        self._outputs = self._ports("output")
        self._counted = {tensor.info.name for tensor in self._outputs if tensor.info.counted}
        self.inputs = tuple(tensor.info for tensor in self._inputs)
        self.outputs = tuple(tensor.info for tensor in self._outputs)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], kernels: str | None = None, threads: int = 1
    ) -> Model:
        """Read a file.

        kernels: "generic", "avx2", ... pins the set (the last bits of float32 results depend on
        it); None takes the fastest. Raises ModelFileError for a file that is no sound model.
        """
        try:
            data = np.fromfile(Path(path), np.uint8)
        except OSError as error:
            raise ModelFileError(error.strerror or str(error), file=path) from None
        return cls(data, kernels=kernels, threads=threads, file=path)

    def run(self, inputs: Mapping[str, np.ndarray], all_blobs: bool = False) -> Blobs:
        """The outputs for a batch of inputs; with `all_blobs` every named tensor too.

        Raises DataError for names, ShapeError for shapes that are not the model's.
        """
        batch = _Batch(self.inputs, inputs)
        if not all_blobs:
            return self._collect(batch, lambda: {t.info.name: t.read() for t in self._outputs})
        blobs: Blobs = {}

        def run_observed() -> Blobs:
            self._run_observed(blobs.__setitem__)
            return blobs | {t.info.name: t.read() for t in self._outputs}

        return self._collect(batch, run_observed, run=False)

    def run_quantized(self, inputs: Mapping[str, np.ndarray]) -> Blobs:
        """The outputs as stored: int8, int16 or float32 by `outputs`' dtype."""
        batch = _Batch(self.inputs, inputs)
        return self._collect(batch, lambda: {t.info.name: t.stored() for t in self._outputs})

    def observe(
        self, inputs: Mapping[str, np.ndarray], callback: Callable[[str, np.ndarray], None]
    ) -> None:
        """Run one sample and call `callback(name, blob)` for every named tensor.

        Inputs come first, then each tensor as soon as its operator has run. The arrays are the
        callback's to keep. What it raises ends the run and comes out of here.
        """
        batch = _Batch(self.inputs, inputs)
        if batch.size != 1:
            raise ShapeError(f"a batch of {batch.size}, observe() takes one sample")
        with self._lock:
            self._write(batch, 0)
            self._run_observed(callback)

    def profile(
        self, inputs: Mapping[str, np.ndarray] | None = None, loops: int = 10
    ) -> list[OperatorTime]:
        """Mean time of each operator over `loops` runs of one sample (zeros unless given)."""
        zeros = {info.name: np.zeros(info.shape, np.float32) for info in self.inputs}
        batch = _Batch(self.inputs, zeros if inputs is None else inputs)
        count = self._c.dmt_operator_count(self._context)
        spent = [0] * count
        started = 0

        def hook(index: int, phase: int) -> None:
            nonlocal started
            if phase == 0:
                started = time.perf_counter_ns()
            else:
                spent[index] += time.perf_counter_ns() - started

        with self._lock:
            self._write(batch, 0)
            _check(self._c.dmt_run(self._context), self._file)
            for _ in range(loops):
                self._write(batch, 0)
                self._observer().run(hook)
        return [
            OperatorTime(
                _text(self._c.dmt_operator_name(self._context, i)) or str(i),
                _opcode_name(self._c.dmt_operator_opcode(self._context, i)),
                spent[i] / loops * 1e-6,
                self._c.dmt_operator_macs(self._context, i),
            )
            for i in range(count)
        ]

    def image(self, input: str, pixels: np.ndarray, layout: str = "rgb") -> np.ndarray:
        """What `dmt_image` writes into an input for a camera frame: the blob, in real units.

        pixels: uint8; layout: "gray", "rgb", "bgr", "bgra" or "nv12" (see `make_frame`). Raises
        DataError where the input has no preprocessing record or the frame is too small for it.
        """
        names = [info.name for info in self.inputs]
        if input not in names:
            raise DataError(f"no input '{input}'", file=self._file, remedy=f"one of {names}")
        frame, data = make_frame(pixels, layout)
        index = names.index(input)
        with self._lock:
            status = self._c.dmt_image(self._context, index, ctypes.byref(frame))
            if status == lib.E_IMAGE:
                raise DataError(
                    f"input '{input}' takes no {frame.width}x{frame.height} {layout} frame",
                    file=self._file,
                    remedy="compile with preprocessing; frames must cover what is cut out of them",
                )
            _check(status, self._file)
            del data  # alive until here
            return self._inputs[index].read()

    def _start_pool(self, threads: int) -> None:
        memory = _aligned(self._c.dmt_pool_size(threads))
        pool = self._c.dmt_pool_start(memory.ctypes.data, threads)
        self._config.parallel_for = lib.address(self._c.dmt_pool_for)
        self._config.user = pool
        # The pool's memory lives in the arguments until the workers have ended.
        weakref.finalize(self, _stop_pool, self._c, pool, memory, os.getpid())

    @property
    def device_memory(self) -> Memory:
        """What the model needs on an ARMv7 with NEON, on one thread."""
        neon = ctypes.addressof(ctypes.c_void_p.in_dll(self._c, "dmt_neon"))
        operators = with_added(neon)
        return self._sizes(lib.Config(ctypes.addressof(operators), 1, None, None, None))

    def _sizes(self, config: lib.Config) -> Memory:
        sizes, where = lib.Sizes(), lib.Where()
        model = self._model.ctypes.data, self._size
        if self._c.dmt_sizes(config, *model, ctypes.byref(sizes)) != lib.OK:
            status = self._c.dmt_check(config, *model, ctypes.byref(where))
            _check(status or lib.E_MEMORY, self._file, where)
        return Memory(sizes.persistent, sizes.arena)

    def _make_context(self, config: lib.Config) -> ctypes.c_void_p:
        persistent = _aligned(self.memory.persistent)
        context = ctypes.c_void_p()
        status = self._c.dmt_init(
            config,
            *(self._model.ctypes.data, self._size),
            *(persistent.ctypes.data, persistent.nbytes),
            *(self._arena.ctypes.data, self._arena.nbytes),
            ctypes.byref(context),
        )
        _check(status, self._file)
        context.memory = persistent  # type: ignore[attr-defined]  # lives as long as the context
        return context

    def _ports(self, kind: str) -> tuple[_Tensor, ...]:
        count = getattr(self._c, f"dmt_{kind}_count")(self._context)
        tensors = []
        for i in range(count):
            view, look = lib.View(), partial(getattr(self._c, f"dmt_{kind}"), self._context, i)
            _check(look(view), self._file)
            name = _text(getattr(self._c, f"dmt_{kind}_name")(self._context, i)) or str(i)
            tensors.append(_Tensor(_info(name, view), view, look))
        return tuple(tensors)

    def _collect(self, batch: _Batch, read: Callable[[], Blobs], run: bool = True) -> Blobs:
        """Run every sample; the results of all, one after the other along axis 0."""
        samples: list[Blobs] = []
        with self._lock:
            for i in range(batch.size):
                self._write(batch, i)
                if run:
                    _check(self._c.dmt_run(self._context), self._file)
                samples.append(dict(read()))
        if batch.size == 1:
            return samples[0]
        return {key: self._join(key, [sample[key] for sample in samples]) for key in samples[0]}

    def _join(self, name: str, parts: list[np.ndarray]) -> np.ndarray:
        return join_rows(parts) if name in self._counted else np.concatenate(parts)

    def _write(self, batch: _Batch, sample: int) -> None:
        for tensor, blob in zip(self._inputs, batch.blobs, strict=True):
            at = blob.ctypes.data + sample * batch.step(blob)
            self._c.dmt_write_f32(tensor.view, at)

    def _observer(self) -> _Observed:
        if self._observed is None:
            self._observed = _Observed(self)
            named = [t.info for tensors in self._observed.standing.values() for t in tensors]
            self._counted |= {info.name for info in named if info.counted}
        return self._observed

    def _run_observed(self, callback: Callable[[str, np.ndarray], None]) -> None:
        observed = self._observer()

        def tell(after: int) -> None:
            for tensor in observed.standing.get(after, ()):
                callback(tensor.info.name, tensor.read())

        tell(0)
        observed.run(lambda index, phase: tell(index + 1) if phase else None)


class _Observed:
    """A second context over the same arena, which stops at every operator."""

    def __init__(self, model: Model) -> None:
        # No reference back to the model: both would then wait for the garbage collector.
        self._hook: Callable[[int, int], None] | None = None
        self._error: BaseException | None = None
        self._callback = lib.Observer(self._on_operator)
        config = lib.Config.from_buffer_copy(model._config)
        config.observer = lib.address(self._callback)
        self._c, self._file = model._c, model._file
        self._context = model._make_context(config)
        self.standing = self._named_tensors()

    def run(self, hook: Callable[[int, int], None]) -> None:
        """Call `hook(operator, phase)` before and after each one; what it raises comes out."""
        self._hook, self._error = hook, None
        status = self._c.dmt_run(self._context)
        error, self._error = self._error, None
        if error is not None:
            raise error
        _check(status, self._file)

    def _on_operator(self, user: int, context: int, index: int, phase: int) -> int:
        try:
            assert self._hook is not None
            self._hook(index, phase)
        except BaseException as error:
            self._error = error
            return 1
        return 0

    def _named_tensors(self) -> dict[int, list[_Tensor]]:
        """By the number of operators after which they stand."""
        found: dict[int, list[_Tensor]] = {}
        for i in range(self._c.dmt_tensor_count(self._context)):
            view, after = lib.View(), ctypes.c_uint32()

            def look(view: lib.View, i: int = i, after: ctypes.c_uint32 = after) -> int:
                return int(self._c.dmt_tensor(self._context, i, view, ctypes.byref(after)))

            _check(look(view), self._file)
            name = _text(self._c.dmt_name(self._context, view.name))
            if name is not None:
                found.setdefault(after.value, []).append(_Tensor(_info(name, view), view, look))
        return found


class _Batch:
    """Inputs in the model's order, checked: `size` samples each."""

    def __init__(self, infos: tuple[TensorInfo, ...], given: Mapping[str, np.ndarray]) -> None:
        names = [info.name for info in infos]
        if sorted(given) != sorted(names):
            raise DataError(f"inputs {sorted(given)}, the model's are {sorted(names)}")
        self.blobs = [np.asarray(given[info.name], np.float32, order="C") for info in infos]
        sizes = set()
        for info, blob in zip(infos, self.blobs, strict=True):
            if blob.shape == info.shape:
                sizes.add(1)
            elif info.shape[0] == 1 and blob.shape[1:] == info.shape[1:] and len(blob):
                sizes.add(len(blob))
            else:
                raise ShapeError(
                    f"input '{info.name}' has shape {blob.shape}, the model's is {info.shape}"
                    + (" with any batch" if info.shape[0] == 1 else "")
                )
        if len(sizes) > 1:
            raise ShapeError(f"inputs of different batches: {sorted(sizes)}")
        self.size = sizes.pop() if sizes else 1

    def step(self, blob: np.ndarray) -> int:
        """Bytes from one sample to the next."""
        return blob.nbytes // self.size


def _check(
    status: int, file: str | os.PathLike[str] | None, where: lib.Where | None = None
) -> None:
    """Raise what a dmt_status says, unless it is DMT_OK."""
    if status == lib.OK:
        return
    text = lib.load().dmt_strerror(status).decode()
    if where is not None and status in _PLACES:
        text += f" ({_PLACES[status]} {where.index}, at byte {where.offset})"
    raise ModelFileError(text, file=file, remedy=_REMEDIES.get(status, _COMPILE_AGAIN))


def _info(name: str, view: lib.View) -> TensorInfo:
    shape = tuple(view.dim[: view.rank])
    counted = view.rows != lib.NONE
    return TensorInfo(name, shape, lib.DTYPES[view.dtype], view.scale, view.zero_point, counted)


def _opcode_name(code: int) -> str:
    return OPCODES[code] if code < len(OPCODES) else f"{code:#06x}"


def _text(name: bytes | None) -> str | None:
    return None if name is None else name.decode(errors="replace")


def _aligned(size: int) -> np.ndarray:
    """Zeroed bytes at a multiple of 64, at least one."""
    memory = np.zeros(max(size, 1) + lib.ALIGN, np.uint8)
    start = -memory.ctypes.data % lib.ALIGN
    return memory[start : start + max(size, 1)]


def _stop_pool(c: ctypes.CDLL, pool: int, memory: np.ndarray, process: int) -> None:
    if os.getpid() == process:  # a fork has no workers to wait for
        c.dmt_pool_stop(pool)
