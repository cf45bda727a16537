"""The memory plan: where each buffer stands in the arena."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from demitasse.converter.flat.format import ALIGN, ITEM_SIZES, Opcode, round_up
from demitasse.converter.flat.layout import View
from demitasse.converter.flat.lower import Operand, Program, Step
from demitasse.converter.flat.prepare import HIDDEN
from demitasse.converter.flat.scratch import scratch_of

# Operators whose kernels read an element before they write the same element.
IN_PLACE = {
    Opcode.SUM,
    Opcode.PROD,
    Opcode.MAX,
    Opcode.RESCALE,
    Opcode.LOOKUP,
    Opcode.UNARY,
    Opcode.SCALE,
    Opcode.SOFTMAX,
    Opcode.MVN,
    Opcode.NORMALIZE,
}

COUNT_BYTES = 4  # of a tensor that has as many rows as a run finds


@dataclass(frozen=True, slots=True)
class Life:
    """A buffer: bytes, and the first and last step that need it (-1: before the first)."""

    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Byte offset of every buffer, the arena's size and the least that any plan needs.

    scratch: for each step, offset and bytes of the room for its kernel's own needs.
    """

    offsets: dict[str, int]
    size: int
    lower_bound: int
    scratch: tuple[tuple[int, int], ...]


def plan(program: Program) -> Plan:
    """Place buffers so that those alive at the same time do not overlap.

    Greedy by size, by lifetime and by area, the best of them (Pisarchyk and Lee, "Efficient
    memory management for deep neural net inference", 2020).
    """
    lives = _lives(program)
    shared = _share_in_place(program, lives)
    rooms = [scratch_of(step) for step in program.steps]
    lives |= {f"{HIDDEN}scratch.{i}": Life(size, i, i) for i, size in enumerate(rooms) if size}
    bound = max((_alive(lives, step) for step in range(-1, len(program.steps) + 1)), default=0)
    orders: tuple[Callable[[Life], tuple[int, int]], ...] = (
        lambda life: (-life.size, life.first),
        lambda life: (-(life.last - life.first), -life.size),
        lambda life: (-life.size * (life.last - life.first + 1), life.first),
        lambda life: (life.first, -life.size),
    )
    best: dict[str, int] = {}
    best_size = -1
    for order in orders:
        names = sorted(lives, key=lambda name: (*order(lives[name]), name))
        offsets, size = _place(names, lives)
        if best_size < 0 or size < best_size:
            best, best_size = offsets, size
    offsets = {name: best[_final(shared, name)] for name in (*lives, *shared)}
    size = max(best_size, _largest(program))
    scratch = tuple(_room(i, best, lives, size) for i in range(len(rooms)))
    return Plan(offsets, size, bound, scratch)


def _room(step: int, offsets: dict[str, int], lives: dict[str, Life], size: int) -> tuple[int, int]:
    """Offset and bytes of the largest part of the arena that no tensor needs in a step."""
    own = f"{HIDDEN}scratch.{step}"
    alive = ((n, life) for n, life in lives.items() if life.first <= step <= life.last and n != own)
    taken = sorted((offsets[name], offsets[name] + life.size) for name, life in alive)
    best = end = room = 0
    for start, after in [*taken, (size, size)]:
        if start - end > room:
            best, room = end, start - end
        end = max(end, after)
    return best, room


def _largest(program: Program) -> int:
    """Bytes of the largest tensor: an arena holds as many elements as any of its views has."""
    sizes = [prod(o.view.shape) * ITEM_SIZES[o.dtype] for o in program.operands.values()]
    return round_up(max(sizes, default=0), ALIGN)


def _lives(program: Program) -> dict[str, Life]:
    lives: dict[str, Life] = {}

    def touch(operand: Operand, step: int) -> None:
        view = operand.view
        size = round_up(operand.end + (COUNT_BYTES if operand.counted else 0), ALIGN)
        old = lives.get(view.buffer, Life(0, step, step))
        lives[view.buffer] = Life(max(size, old.size), min(old.first, step), max(old.last, step))

    for name in program.graph.inputs:
        touch(program.operands[name], -1)
    for i, step in enumerate(program.steps):
        for operand in (*step.inputs, step.output):
            touch(operand, i)
    for name in program.graph.outputs:
        touch(program.operands[name], len(program.steps))
    return lives


def _share_in_place(program: Program, lives: dict[str, Life]) -> dict[str, str]:
    """Let element-wise steps write over an input that nobody needs afterwards."""
    shared: dict[str, str] = {}
    for i, step in enumerate(program.steps):
        host = _reusable_input(step, i, lives, shared)
        if host is not None:
            output = step.output.view.buffer
            lives[host] = replace(lives[host], last=lives.pop(output).last)
            shared[output] = host
    return shared


def _reusable_input(
    step: Step, index: int, lives: dict[str, Life], shared: dict[str, str]
) -> str | None:
    output = step.output.view
    if step.opcode not in IN_PLACE or output.buffer not in lives or not output.spans_buffer():
        return None
    for operand in step.inputs:
        host = _final(shared, operand.view.buffer)
        fits = lives[host].last == index and lives[output.buffer].first == index
        same_size = lives[host].size == lives[output.buffer].size
        same_item = ITEM_SIZES[operand.dtype] == ITEM_SIZES[step.output.dtype]
        others = [o for o in step.inputs if _final(shared, o.view.buffer) == host]
        alike = all(_same_elements(o.view, output) for o in others)
        if fits and same_size and same_item and alike:
            return host
    return None


def _same_elements(a: View, b: View) -> bool:
    return a.shape == b.shape and a.same_place(replace(b, buffer=a.buffer))


def _final(shared: dict[str, str], name: str) -> str:
    while name in shared:
        name = shared[name]
    return name


def _alive(lives: dict[str, Life], step: int) -> int:
    return sum(life.size for life in lives.values() if life.first <= step <= life.last)


def _place(names: list[str], lives: dict[str, Life]) -> tuple[dict[str, int], int]:
    """First fit in the given order."""
    offsets: dict[str, int] = {}
    size = 0
    for name in names:
        life = lives[name]
        taken = sorted(
            (offsets[other], offsets[other] + lives[other].size)
            for other in offsets
            if lives[other].first <= life.last and life.first <= lives[other].last
        )
        offset = 0
        for start, end in taken:
            if offset + life.size <= start:
                break
            offset = max(offset, end)
        offsets[name] = offset
        size = max(size, offset + life.size)
    return offsets, size
