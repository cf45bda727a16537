"""The arena of a file against the least that any plan needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.flat import parse_model, serialise
from demitasse.converter.flat.format import ITEM_SIZES
from demitasse.converter.flat.lower import lower
from demitasse.converter.flat.read import ModelFile, TensorRecord
from demitasse.converter.flat.scratch import scratch_of
from demitasse.converter.passes import optimize
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import build_table


def planned(prototxt: Path, precision: str) -> tuple[ModelFile, list[int]]:
    """A network with weights by chance, every tensor of the range -1 to 1: memory is the same. And
    the scratch that each operator's portable kernel wants."""
    graph = optimize(load_caffe(prototxt, random_weights=1))
    if precision != "fp32":
        statistics = Statistics()
        for name, tensor in graph.tensors.items():
            channels = tensor.shape[1] if len(tensor.shape) > 1 else 1
            ends = np.ones((2, channels), np.float32) * np.float32([[-1], [1]])
            statistics.update(name, ends.reshape(2, channels, *(1,) * (len(tensor.shape) - 2)))
        graph = quantize(graph, build_table(statistics, precision, "minmax", False))
    return parse_model(serialise(graph)[0]), [scratch_of(step) for step in lower(graph).steps]


def mark(arena: np.ndarray, tensor: TensorRecord, value: bool) -> None:
    item = ITEM_SIZES[tensor.dtype]
    shape, strides = (*tensor.shape, item), (*tensor.strides, 1)
    as_strided(arena[tensor.offset :], shape, strides)[...] = value
    if tensor.count:
        arena[tensor.count : tensor.count + 4] = value


def most_alive(model: ModelFile, needs: list[int]) -> int:
    """Bytes that no plan can do without, from the file alone: backwards from the outputs, a byte is
    alive from its last writing to its last reading. Lines of 64 bytes are counted."""
    arena = np.zeros(model.arena_size, bool)

    def alive(scratch: int = 0) -> int:
        return int(arena.reshape(-1, 64).any(1).sum()) * 64 + scratch

    for index in model.outputs.values():
        mark(arena, model.tensors[index], True)
    most = alive()
    for operator, need in zip(reversed(model.operators), reversed(needs), strict=True):
        inputs = [model.tensors[index] for index in operator.inputs]
        for tensor in (*inputs, model.tensors[operator.output]):
            mark(arena, tensor, True)
        assert not arena[operator.room[0] : sum(operator.room)].any()
        assert need <= operator.room[1]
        most = max(most, alive(need))
        mark(arena, model.tensors[operator.output], False)
        for tensor in inputs:
            mark(arena, tensor, True)
    most = max(most, alive())
    for index in model.inputs.values():
        mark(arena, model.tensors[index], False)
    assert not arena.any(), "read before it is written"
    return most


def check_arena(prototxt: Path, precision: str) -> None:
    model, needs = planned(prototxt, precision)
    assert most_alive(model, needs) <= model.arena_size <= 1.05 * most_alive(model, needs)
