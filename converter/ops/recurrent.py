"""Recurrent layers, unrolled over axis 0 as Caffe unrolls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, count, require


class Parts(NamedTuple):
    """The inputs of a recurrent operator by their meaning."""

    x: np.ndarray
    cont: np.ndarray
    static: np.ndarray | None
    states: list[np.ndarray]


@dataclass(frozen=True, slots=True)
class Recurrent(Operator):
    """What both have. Inputs: x (T, N, I), cont (T, N), and in this order, where the fields say
    so: a static input (N, S), the initial states (1, N, H) each; else the states start at 0.

    Before step t the states are multiplied by cont[t]: 0 begins a new sequence. Output (T, N, H),
    or where `expose` is T, not 0, (T + 1, N, H) whose last row is the state after the last step
    that the output does not hold itself.
    """

    channels: int
    static: bool = False
    expose: int = 0

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return False

    def states(self) -> int:
        """How many states are handed from step to step."""
        raise NotImplementedError

    def matrices(self, shapes: Sequence[Shape]) -> dict[str, Shape]:
        """The weights, in Caffe's order of blobs."""
        raise NotImplementedError

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return tuple(self.matrices([(1, 1, 1)] * 3))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        expected = 2 + self.static + (self.states() if self.expose else 0)
        require(len(inputs) == expected, f"expected {expected} inputs, found {len(inputs)}")
        require(len(inputs[0]) == 3, f"the input must be T x N x I, found shape {inputs[0]}")
        steps, streams = inputs[0][:2]
        require(
            inputs[1] == (steps, streams),
            f"cont has shape {inputs[1]}, expected {(steps, streams)}",
        )
        if self.static:
            found = inputs[2]
            require(
                len(found) == 2 and found[0] == streams,
                f"the static input has shape {found}, expected {streams} rows",
            )
        for found in inputs[2 + self.static :]:
            state = (1, streams, self.channels)
            require(found == state, f"an initial state has shape {found}, expected {state}")
        for key, shape in self.matrices(inputs).items():
            if key in weights:
                found = weights[key].shape
                require(found == shape, f"{key} has shape {found}, expected {shape}")
        require(self.expose in (0, steps), f"expected {self.expose} steps, found {steps}")
        return ((steps + (self.expose > 0), streams, self.channels),)

    def macs(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        shapes = [shape for shape in self.matrices(inputs).values() if len(shape) == 2]
        return inputs[0][0] * inputs[0][1] * sum(count(shape) for shape in shapes)

    def parts(self, inputs: Sequence[np.ndarray]) -> Parts:
        """The inputs by their meaning; states that are not given are 0."""
        x, cont = inputs[:2]
        states = [state[0] for state in inputs[2 + self.static :]]
        zero = np.zeros((x.shape[1], self.channels), np.float32)
        return Parts(x, cont, inputs[2] if self.static else None, states or [zero] * self.states())


@dataclass(frozen=True, slots=True)
class Lstm(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) without peepholes.

    Gates i, f, o, g = sigmoid, sigmoid, sigmoid, tanh of input (4H, I) x + bias (4H,)
    + static (4H, S) s + hidden (4H, H) (cont * h); c = cont * f * c + i * g; h = o * tanh(c).
    States: h, c; the exposed row is c.
    """

    def states(self) -> int:
        return 2

    def matrices(self, shapes: Sequence[Shape]) -> dict[str, Shape]:
        rows = 4 * self.channels
        found = {"input": (rows, shapes[0][2]), "bias": (rows,)}
        if self.static:
            found["static"] = (rows, shapes[2][-1])
        return {**found, "hidden": (rows, self.channels)}

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, cont, static, (h, c) = self.parts(inputs)
        rows = []
        for step, keep in zip(x, cont[..., None], strict=True):
            z = step @ weights["input"].T + weights["bias"] + (keep * h) @ weights["hidden"].T
            if static is not None:
                z = z + static @ weights["static"].T
            i, f, o, g = np.split(z, 4, axis=1)
            c = keep * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            rows.append(h)
        return (np.stack(rows + [c] * (self.expose > 0)).astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Rnn(Recurrent):
    """h = tanh(input (H, I) x + bias (H,) + static (H, S) s + hidden (H, H) (cont * h)); the
    output is tanh(output (H, H) h + output_bias (H,)). State: h, also the exposed row."""

    def states(self) -> int:
        return 1

    def matrices(self, shapes: Sequence[Shape]) -> dict[str, Shape]:
        rows = self.channels
        found = {"input": (rows, shapes[0][2]), "bias": (rows,)}
        if self.static:
            found["static"] = (rows, shapes[2][-1])
        return {**found, "hidden": (rows, rows), "output": (rows, rows), "output_bias": (rows,)}

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, cont, static, (h,) = self.parts(inputs)
        rows = []
        for step, keep in zip(x, cont[..., None], strict=True):
            z = step @ weights["input"].T + weights["bias"] + (keep * h) @ weights["hidden"].T
            if static is not None:
                z = z + static @ weights["static"].T
            h = np.tanh(z)
            rows.append(np.tanh(h @ weights["output"].T + weights["output_bias"]))
        return (np.stack(rows + [h] * (self.expose > 0)).astype(np.float32),)


def sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))
