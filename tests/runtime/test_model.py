"""Running: values, batches, observers, threads and memory, on networks of copies."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from demitasse.errors import DataError, DemitasseError, ShapeError
from demitasse.runtime import library as lib
from demitasse.runtime.model import Model, TensorInfo
from tests.runtime import builder as b


def blobs(n: int = 1) -> np.ndarray:
    """Multiples of a quarter that int8 with scale 0.25 holds exactly."""
    return (np.arange(12 * n, dtype=np.float32).reshape(n, 2, 3, 2) - 6) / 4


@pytest.fixture
def model() -> Model:
    return Model(b.chain("int8", 0.25, 3).build())


@pytest.mark.parametrize(
    ("dtype", "scale", "zero"), [("float32", 1, 0), ("int8", 0.25, -5), ("int16", 0.25, 0)]
)
def test_copies_through_both_layouts_give_the_input(dtype: str, scale: float, zero: int) -> None:
    model = Model(b.chain(dtype, scale, zero).build())
    np.testing.assert_array_equal(model.run({"data": blobs()})["out"], blobs())
    stored = model.run_quantized({"data": blobs()})["out"]
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, (blobs() / scale + zero).astype(dtype))


def test_what_a_model_says_of_itself(model: Model) -> None:
    assert model.inputs == (TensorInfo("data", (1, 2, 3, 2), "int8", 0.25, 3),)
    assert [info.name for info in model.outputs] == ["out"]
    assert model.memory.arena == 192
    assert 0 < model.memory.persistent <= 1024


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (0.0, 3),
        (0.124, 3),
        (0.125, 4),  # halves go up
        (-0.125, 3),
        (-0.126, 2),
        (30.9, 127),
        (31.0, 127),
        (1e30, 127),
        (-32.75, -128),
        (-1e30, -128),
        (np.inf, 127),
        (-np.inf, -128),
        (np.nan, 3),
    ],
)
def test_quantization_of_an_input(model: Model, value: float, stored: int) -> None:
    x = np.full((1, 2, 3, 2), value, np.float32)
    assert set(model.run_quantized({"data": x})["out"].ravel()) == {stored}


def test_a_batch_is_its_samples(model: Model) -> None:
    x = blobs(5)
    out = model.run({"data": x}, all_blobs=True)
    assert {name: blob.shape for name, blob in out.items()} == dict.fromkeys(
        ("data", "middle", "out"), (5, 2, 3, 2)
    )
    singles = [model.run({"data": x[i : i + 1]})["out"] for i in range(5)]
    np.testing.assert_array_equal(out["out"], np.concatenate(singles))
    np.testing.assert_array_equal(out["middle"], out["out"])
    assert model.run_quantized({"data": x})["out"].shape == (5, 2, 3, 2)


def test_results_are_the_callers(model: Model) -> None:
    first = model.run({"data": blobs()})["out"]
    kept = first.copy()
    model.run({"data": blobs() + 1})
    np.testing.assert_array_equal(first, kept)


def test_inputs_may_be_of_any_type_and_layout_in_memory(model: Model) -> None:
    expected = model.run({"data": blobs()})["out"]
    turned = np.asfortranarray(blobs().astype(np.float64))
    np.testing.assert_array_equal(model.run({"data": turned})["out"], expected)
    every_other = np.repeat(blobs(), 2, axis=3)[..., ::2]
    np.testing.assert_array_equal(model.run({"data": every_other})["out"], expected)


@pytest.mark.parametrize(
    "shape", [(1, 2, 3), (2, 3, 2), (1, 3, 2, 2), (0, 2, 3, 2), (1, 2, 3, 2, 1), ()]
)
def test_other_shapes_are_refused(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"input 'data' has shape .* \(1, 2, 3, 2\)"):
        model.run({"data": np.zeros(shape)})


def test_other_names_are_refused(model: Model) -> None:
    for names in ((), ("image",), ("data", "more")):
        with pytest.raises(DataError, match="the model's are"):
            model.run({name: blobs() for name in names})


def test_a_model_that_holds_a_batch_takes_that_one() -> None:
    file = b.File(
        tensors=[b.Tensor((2, 3), name="data")], inputs=[(0, "data")], outputs=[(0, "same")]
    )
    model = Model(file.build())
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(model.run({"data": x})["same"], x)
    with pytest.raises(ShapeError, match=r"has shape \(4, 3\)"):
        model.run({"data": np.zeros((4, 3))})


def test_batches_of_two_inputs_must_agree() -> None:
    file = b.File(
        tensors=[b.Tensor((1, 3), 0), b.Tensor((1, 2), 64)],
        inputs=[(0, "a"), (1, "b")],
        outputs=[(1, "b"), (0, "a")],
    )
    model = Model(file.build())
    out = model.run({"b": np.ones((4, 2)), "a": np.zeros((4, 3))})
    assert [(name, blob.shape) for name, blob in out.items()] == [("b", (4, 2)), ("a", (4, 3))]
    with pytest.raises(ShapeError, match="different batches"):
        model.run({"b": np.ones((4, 2)), "a": np.zeros((3, 3))})


@pytest.mark.parametrize("rank", range(1, 7))
def test_every_rank_and_any_strides(rank: int) -> None:
    """Views with gaps and turned axes read and write what NumPy says they hold."""
    shape = (1, 2, 3, 1, 2, 2)[:rank] if rank > 1 else (5,)
    strides, step = [0] * rank, 4
    for axis in sorted(range(rank), key=lambda axis: (axis * 5) % 7):
        strides[axis] = step
        step *= shape[axis] + 1  # a gap after every axis
    tensor = b.Tensor(shape, 64, strides=tuple(strides))
    model = Model(b.File([tensor], inputs=[(0, "x")], outputs=[(0, "y")], arena=1 << 16).build())
    x = np.random.default_rng(rank).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(model.run({"x": x})["y"], x)
    np.testing.assert_array_equal(model.run_quantized({"x": x})["y"], x)


def test_views_are_reported_after_the_operator_that_fills_them() -> None:
    """A view has no operator; it stands when its bytes do, and may be overwritten later."""
    file = b.chain()
    file.tensors[2].offset = 64  # the second copy writes over the first one's result
    half = b.Tensor((1, 1, 3, 2), 64 + 24, name="half", after=1, strides=(48, 24, 8, 4))
    file.tensors.append(half)
    seen: list[str] = []
    out: dict[str, np.ndarray] = {}

    def note(name: str, blob: np.ndarray) -> None:
        seen.append(name)
        out[name] = blob

    Model(file.build()).observe({"data": blobs()}, note)
    assert seen == ["data", "middle", "half", "out"]
    np.testing.assert_array_equal(out["middle"], blobs())
    np.testing.assert_array_equal(out["half"], blobs()[:, 1:])


def test_without_names_blobs_are_numbered() -> None:
    file = b.chain()
    for tensor in file.tensors:
        tensor.name = None
    file.inputs, file.outputs = [(0, None)], [(2, None)]
    model = Model(file.build())
    assert list(model.run({"0": blobs()}, all_blobs=True)) == ["0"]


def test_what_the_observer_raises_ends_the_run(model: Model) -> None:
    seen = []

    def stop(name: str, blob: np.ndarray) -> None:
        seen.append(name)
        if name == "middle":
            raise KeyError(name)

    with pytest.raises(KeyError, match="middle"):
        model.observe({"data": blobs()}, stop)
    assert seen == ["data", "middle"]
    np.testing.assert_array_equal(model.run({"data": blobs()})["out"], blobs())


def test_one_sample_is_observed_at_a_time(model: Model) -> None:
    with pytest.raises(ShapeError, match="takes one sample"):
        model.observe({"data": blobs(2)}, lambda name, blob: None)


def test_profile_names_the_operators(model: Model) -> None:
    rows = model.profile(loops=3)
    assert [(row.name, row.operator, row.macs) for row in rows] == [
        ("first", "COPY", 5),
        ("second", "COPY", 2**33),
    ]
    assert all(row.milliseconds > 0 for row in rows)


def test_an_observer_that_stops_is_a_status_of_the_run() -> None:
    """At the C interface: phases in order, and nothing runs after a stop."""
    library, data = lib.load(), b.chain().build()
    calls: list[tuple[int, int]] = []
    stops: list[tuple[int, int]] = []

    @lib.Observer
    def observer(user: int, context: int, index: int, phase: int) -> int:
        calls.append((index, phase))
        view = lib.View()
        assert library.dmt_result(context, index, view) == lib.OK
        assert library.dmt_name(context, view.name) == (b"middle", b"out")[index]
        return (index, phase) in stops

    config = lib.Config(library.dmt_kernels(None, None), 1, None, lib.address(observer), None)
    context, memory = make_context(config, data)
    for stop, status, count in ((None, lib.OK, 4), ((1, 0), lib.E_STOPPED, 3)):
        calls.clear()
        stops += [stop] if stop else []
        assert library.dmt_run(context) == status
        assert calls == [(0, 0), (0, 1), (1, 0), (1, 1)][:count]
    del memory


def make_context(
    config: lib.Config, data: bytes, arena: np.ndarray | None = None
) -> tuple[ctypes.c_void_p, list[np.ndarray]]:
    """A context, and what must live as long as it."""
    model, persistent = aligned(len(data)), aligned(4096)
    arena = aligned(4096) if arena is None else arena
    model[:] = np.frombuffer(data, np.uint8)
    context = ctypes.c_void_p()
    status = lib.load().dmt_init(
        config,
        *(model.ctypes.data, len(data)),
        *(persistent.ctypes.data, persistent.nbytes),
        *(arena.ctypes.data, arena.nbytes),
        context,
    )
    assert status == lib.OK
    return context, [model, persistent, arena]


def aligned(size: int) -> np.ndarray:
    memory = np.full(size + 64, 0x5A, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size]


def test_contexts_that_run_in_turn_share_an_arena() -> None:
    library, arena = lib.load(), aligned(4096)
    config = lib.Config(library.dmt_kernels(None, None), 1, None, None, None)
    contexts = [make_context(config, b.chain(dtype).build(), arena) for dtype in ("float32",) * 2]
    x = np.ascontiguousarray(blobs())
    for turn in range(4):
        context, view, out = contexts[turn % 2][0], lib.View(), np.empty_like(x)
        library.dmt_input(context, 0, view)
        library.dmt_write_f32(view, (x + turn).ctypes.data)
        assert library.dmt_run(context) == lib.OK
        library.dmt_output(context, 0, view)
        library.dmt_read_f32(view, out.ctypes.data)
        np.testing.assert_array_equal(out, x + turn)
    assert set(arena[192:]) == {0x5A}  # nothing is written behind the plan


def test_queries_out_of_range_are_errors() -> None:
    library, view, after = lib.load(), lib.View(), ctypes.c_uint32()
    config = lib.Config(library.dmt_kernels(None, None), 1, None, None, None)
    context, _memory = make_context(config, b.chain().build())
    assert library.dmt_input(context, 1, view) == 1
    assert library.dmt_output(context, 0xFFFFFFFF, view) == 1
    assert library.dmt_result(context, 2, view) == 1
    assert library.dmt_tensor(context, 3, view, after) == 1
    assert library.dmt_run(None) == 1
    assert library.dmt_input_count(None) == 0
    assert library.dmt_operator_name(context, 2) is None
    assert library.dmt_name(context, b.NONE) is None
    assert library.dmt_operator_macs(context, 5) == 0


def test_threads_take_turns_on_one_model(model: Model) -> None:
    wrong = []

    def work(shift: int) -> None:
        x = blobs() + shift
        for _ in range(200):
            if not np.array_equal(model.run({"data": x})["out"], x):
                wrong.append(shift)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_pool_does_every_number_once(threads: int) -> None:
    """dmt_pool_for, through its own interface."""
    library = lib.load()
    task_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)
    library.dmt_pool_for.argtypes = [ctypes.c_void_p, ctypes.c_uint32, task_type, ctypes.c_void_p]
    library.dmt_pool_for.restype = None
    memory = aligned(library.dmt_pool_size(threads))
    pool = library.dmt_pool_start(memory.ctypes.data, threads)
    done: list[int] = []
    task = task_type(lambda argument, i: done.append(i))
    for count in (0, 1, 2, 3, 64):
        for _ in range(20):
            done.clear()
            library.dmt_pool_for(pool, count, task, None)
            assert sorted(done) == list(range(count))
    library.dmt_pool_stop(pool)


def test_threads_do_not_change_the_result_and_end_with_the_model() -> None:
    before = len(os.listdir("/proc/self/task"))
    model = Model(b.chain().build(), threads=3)
    assert len(os.listdir("/proc/self/task")) == before + 2
    np.testing.assert_array_equal(model.run({"data": blobs()})["out"], blobs())
    model.run({"data": blobs()}, all_blobs=True)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert len(os.listdir("/proc/self/task")) == before
    with pytest.raises(DemitasseError, match="0 threads"):
        Model(b.chain().build(), threads=0)


def test_a_missing_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lib.load.cache_clear()
    monkeypatch.setattr(lib, "PATH", tmp_path / "libdemitasse_host.so")
    with pytest.raises(DemitasseError, match=r"cannot be loaded \(missing\); run `make lib`"):
        Model(b.chain().build())
    lib.load.cache_clear()
