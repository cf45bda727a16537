"""Views, copies and the memory plan: the simulated program equals the reference."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from support.graphs import Builder
from support.simulate import check

from demitasse.converter.flat.format import Opcode
from demitasse.converter.flat.layout import reshape_strides
from demitasse.converter.flat.lower import Program
from demitasse.converter.flat.plan import plan
from demitasse.converter.ops import (
    Concat,
    Conv2d,
    Crop,
    Eltwise,
    Expand,
    Flatten,
    InnerProduct,
    Permute,
    Pool2d,
    Power,
    Relu,
    Reshape,
    Slice,
    Softmax,
)


def conv(b: Builder, x: str, channels: int, k: int = 1) -> str:
    c = b.tensors[x].shape[1]
    pads = (k // 2,) * 4
    return b.add(Conv2d(channels, (k, k), pads=pads), x, weight=b.random(channels, c, k, k))


def run(b: Builder, *outputs: str) -> Program:
    graph = b.graph(*outputs)
    return check(graph, b.feed(graph))


def opcodes(program: Program) -> Counter:
    return Counter(step.opcode for step in program.steps)


@pytest.mark.parametrize(
    ("shape", "strides", "new"),
    [
        ((2, 3, 4), (12, 4, 1), (6, 4)),
        ((2, 3, 4), (12, 4, 1), (2, 1, 12)),
        ((2, 3, 4), (1, 2, 6), (2, 3, 4)),
        ((1, 5, 6, 3), (90, 18, 3, 1), (1, 45, 2)),
        ((4, 6), (1, 4), (2, 2, 6)),
        ((4, 6), (7, 1), (4, 3, 2)),
    ],
)
def test_reshape_strides_address_the_same_elements(shape, strides, new) -> None:
    memory = np.arange(200)
    before = np.lib.stride_tricks.as_strided(memory, shape, [8 * s for s in strides])
    found = reshape_strides(shape, strides, new)
    assert found is not None
    after = np.lib.stride_tricks.as_strided(memory, new, [8 * s for s in found])
    np.testing.assert_array_equal(after, before.reshape(new))


@pytest.mark.parametrize(
    ("shape", "strides", "new"), [((4, 6), (1, 4), (24,)), ((4, 6), (7, 1), (2, 12))]
)
def test_reshape_that_strides_cannot_express_is_a_copy(shape, strides, new) -> None:
    assert reshape_strides(shape, strides, new) is None


def test_concat_of_convolutions_needs_no_copy() -> None:
    b = Builder()
    x = b.input("data", 1, 3, 5, 6)
    inner = b.add(Concat(), conv(b, x, 4), conv(b, x, 5, 3))
    b.add(Concat(), conv(b, x, 2), inner, b.add(Pool2d("max", (1, 1)), x))
    assert Opcode.COPY not in opcodes(run(b))


def test_concat_copies_what_it_cannot_place() -> None:
    b = Builder()
    x = b.input("data", 1, 3, 5, 6)
    y = conv(b, x, 4)
    b.add(Concat(), x, y, y)  # an input of the net, and one tensor twice
    assert opcodes(run(b))[Opcode.COPY] == 2


def test_detection_heads_are_joined_without_copies() -> None:
    b = Builder()
    heads = []
    x = b.input("data", 1, 3, 8, 8)
    for size in (1, 2, 4):
        y = conv(b, b.add(Pool2d("average", (size, size), (size, size)), x), 4)
        heads.append(b.add(Reshape((1, -1, 2)), b.add(Permute((0, 2, 3, 1)), y)))
    b.add(Softmax(2), b.add(Concat(), *heads))
    program = run(b)
    assert Opcode.COPY not in opcodes(program)


def test_flattened_heads_joined_along_axis_one() -> None:
    b = Builder()
    x = b.input("data", 1, 3, 4, 4)
    heads = [b.add(Flatten(), b.add(Permute((0, 2, 3, 1)), conv(b, x, c))) for c in (2, 5)]
    b.add(Concat(), *heads)
    assert Opcode.COPY not in opcodes(run(b))


@pytest.mark.parametrize("shape", [(1, 6), (1, 2, 6, 3)])
def test_joining_the_first_part_of_a_tensor_leaves_the_others_where_they_are(shape) -> None:
    b = Builder()
    axis = len(shape) - 1 if len(shape) == 2 else 2
    x = b.add(Relu(), b.input("data", *shape))
    first = b.add(Slice(2, axis), x, outputs=2)
    b.add(Relu(), b.add(Concat(axis), first, b.add(Power(1, 2, 1), f"{first}.1"), x))
    run(b)


def test_what_is_expanded_is_read_where_it_stands() -> None:
    b = Builder()
    x, gate = b.input("data", 1, 3, 5, 6), b.input("gate", 1, 3)
    spread = b.add(Expand(), b.add(Reshape((1, 3, 1, 1)), gate), x)
    b.add(Eltwise("prod"), x, spread)
    program = run(b)
    assert opcodes(program) == {Opcode.PROD: 1}
    assert program.operands[spread].view.strides[2:] == (0, 0)


@pytest.mark.parametrize(("as_output", "copies"), [(False, 3), (True, 2)])
def test_what_is_expanded_is_never_written(as_output: bool, copies: int) -> None:
    """Not as an output, not in place, not inside a joined tensor, nor for who wants channels."""
    b = Builder()
    x = b.add(Relu(), b.input("data", 1, 1, 5, 6))
    spread = b.add(Expand((0, 4, 0, 0)), x)
    doubled = b.add(Eltwise("sum"), spread, spread)
    b.add(Relu(), doubled)
    b.add(Concat(), spread, doubled)
    conv(b, spread, 2)
    b.add(Permute((0, 2, 3, 1)), b.add(Expand((3, 0, 0, 0)), x))
    program = run(b, *b.graph().outputs, *[spread] * as_output)
    assert opcodes(program)[Opcode.COPY] == copies
    for step in program.steps:
        assert not step.output.view.repeats()
    assert not any(program.operands[name].view.repeats() for name in program.graph.outputs)


def test_an_arena_holds_as_many_elements_as_any_view() -> None:
    b = Builder()
    spread = b.add(Expand((0, 100, 0, 0)), b.input("data", 1, 1, 4, 4))
    b.add(Relu(), b.add(Slice(50), spread, outputs=50))
    program = run(b, "relu2")
    assert plan(program).size >= 100 * 16 * 4


def test_slices_and_crops_are_views() -> None:
    b = Builder()
    x = b.input("data", 1, 6, 7, 8)
    first = b.add(Slice(2), conv(b, x, 6), outputs=2)
    small = b.add(Pool2d("max", (3, 3), (2, 2)), x)
    y = b.add(Crop(2, (1, 2)), f"{first}.1", b.add(Slice(2), small, outputs=2))
    b.add(Relu(), y)
    b.add(Eltwise(), first, first)
    program = run(b)
    assert Opcode.COPY not in opcodes(program)


def test_permuted_image_is_copied_before_a_convolution() -> None:
    b = Builder()
    x = b.add(Permute((0, 2, 1, 3)), conv(b, b.input("data", 1, 3, 5, 6), 4))
    conv(b, x, 3, 3)
    assert opcodes(run(b))[Opcode.COPY] == 1


def test_flatten_before_inner_product_folds_into_its_weights() -> None:
    b = Builder()
    y = b.add(Flatten(), conv(b, b.input("data", 1, 3, 5, 6), 4))
    b.add(InnerProduct(7), y, weight=b.random(7, 120))
    assert opcodes(run(b)) == {Opcode.CONV: 2}


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_inner_product_from_any_axis(axis: int) -> None:
    b = Builder()
    x = b.add(Relu(), b.input("data", 2, 3, 4, 5))
    k = int(np.prod((2, 3, 4, 5)[axis % 4 :]))
    b.add(Relu(), b.add(InnerProduct(6, axis), x, weight=b.random(6, k)))
    run(b)


def test_flatten_to_an_output_reorders_to_caffes_order() -> None:
    b = Builder()
    b.add(Flatten(), conv(b, b.input("data", 1, 3, 5, 6), 4))
    assert opcodes(run(b))[Opcode.COPY] == 1


def test_input_that_is_an_output() -> None:
    b = Builder()
    x = b.input("data", 1, 3, 5, 6)
    b.add(Relu(), x)
    run(b, x, "relu0")


def test_elementwise_chains_run_in_place() -> None:
    b = Builder()
    x = b.input("data", 1, 16, 8, 8)
    y = b.add(Relu(0.1), conv(b, x, 16))
    b.add(Relu(), b.add(Eltwise(), y, conv(b, x, 16)))
    memory = plan(run(b))
    assert memory.size == 3 * 16 * 64 * 4  # the input and two convolutions


def test_plan_of_a_long_branchy_net_is_near_its_lower_bound() -> None:
    b = Builder()
    x = b.input("data", 1, 8, 16, 16)
    for _ in range(6):
        left, right = conv(b, x, 12, 3), conv(b, x, 4)
        x = b.add(Concat(), left, b.add(Pool2d("max", (3, 3), (1, 1), (1, 1)), right))
    memory = plan(run(b))
    assert memory.size <= 1.25 * memory.lower_bound


def test_random_nets_agree() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        b = Builder(seed=1000 * seed)
        pool = [b.input("data", 1, 4, 6, 6)]
        for _ in range(10):
            x = pool[rng.integers(len(pool))]
            shape = b.tensors[x].shape
            kind = rng.integers(7)
            if kind == 0:
                y = conv(b, x, int(rng.integers(1, 6)), int(rng.choice([1, 3])))
            elif kind == 1:
                others = [p for p in pool if b.tensors[p].shape[2:] == shape[2:]]
                y = b.add(Concat(), *rng.choice(others, rng.integers(1, 4)))
            elif kind == 2 and shape[1] > 1:
                y = b.add(Slice(2, 1, (1,)), x, outputs=2)
                pool.append(f"{y}.1")
            elif kind == 3:
                y = b.add(Eltwise(), x, b.add(Relu(), x))
            elif kind == 4:
                y = b.add(Permute((0, 1, 3, 2)), x)
            elif kind == 5:
                y = b.add(Reshape((1, -1, shape[3], shape[2])), x)
            else:
                y = b.add(Pool2d("max", (3, 3), (1, 1), (1, 1)), x)
            pool.append(y)
        run(b)


def test_a_flatten_that_copies_is_written_inside_a_concat() -> None:
    b = Builder()
    image, row = b.input("image", 1, 3, 2, 2), b.input("row", 1, 5)
    b.add(Concat(1), b.add(Flatten(), conv(b, image, 2)), row)
    assert opcodes(run(b))[Opcode.COPY] == 2
