"""Runs a lowered program in NumPy over one real arena, as the C runtime does.

It shares nothing with the runtime: each step reads its operands through their strides at their
planned offsets, computes the operator's float reference, and writes its output. Bytes that no
living tensor owns are poisoned between steps, so a bad plan or a bad view gives wrong values.
"""

from __future__ import annotations

import numpy as np

from demitasse.converter.evaluate import evaluate
from demitasse.converter.flat.format import Opcode
from demitasse.converter.flat.lower import Operand, Program, lower
from demitasse.converter.flat.plan import Plan, plan
from demitasse.converter.graph import Graph


def view_of(arena: np.ndarray, memory: Plan, operand: Operand) -> np.ndarray:
    view = operand.view
    start = memory.offsets[view.buffer] // 4 + view.offset
    assert start + view.extent() <= arena.size
    strides = [4 * stride for stride in view.strides]
    return np.lib.stride_tricks.as_strided(arena[start:], view.shape, strides)


def simulate(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    memory = plan(program)
    arena = np.full(memory.size // 4, np.nan, np.float32)
    graph = program.graph
    for name, value in inputs.items():
        view_of(arena, memory, program.operands[name])[...] = value
    for step in program.steps:
        read = [view_of(arena, memory, x).copy() for x in step.inputs]
        target = view_of(arena, memory, step.output)
        if step.opcode == Opcode.COPY:
            target[...] = read[0].reshape(target.shape)
        else:
            target[...] = step.node.op.reference(read, step.node.weights)[0]
    return {name: view_of(arena, memory, program.operands[name]).copy() for name in graph.outputs}


def check(graph: Graph, inputs: dict[str, np.ndarray]) -> Program:
    """Lower, simulate and compare with the reference; returns the program."""
    program = lower(graph)
    found = simulate(program, inputs)
    expected = evaluate(graph, inputs)
    keys = list(graph.output_keys())
    for key, name in zip(keys, program.graph.outputs, strict=True):
        np.testing.assert_array_equal(found[name], expected[key], err_msg=key)
    return program
