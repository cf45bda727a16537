"""LSTM, RNN, and the unit that Caffe builds its LSTM of."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import (
    Eltwise,
    Flatten,
    Identity,
    Lstm,
    Operator,
    Rnn,
    Scale,
    Sigmoid,
    Slice,
    Tanh,
)
from demitasse.converter.ops.base import count
from demitasse.errors import ParseError, ShapeError


@caffe_layer("LSTM", weighted=True)
def lstm(context: Context) -> None:
    _recurrent(context, Lstm)


@caffe_layer("RNN", weighted=True)
def rnn(context: Context) -> None:
    _recurrent(context, Rnn)


def _recurrent(context: Context, kind: type[Lstm | Rnn]) -> None:
    """Bottoms: x, cont, perhaps a static input, and the first states where they are exposed."""
    params = context.params("recurrent_param")
    params.ignore("debug_info")
    channels, exposed = params.integer("num_output"), params.boolean("expose_hidden", False)
    if channels < 1:
        raise ParseError(f"num_output {channels} must be positive")
    states = kind(channels).states() if exposed else 0
    context.expect(bottoms=range(2 + states, 4 + states), tops=1 + states)
    static = len(context.bottoms) == 3 + states
    if len(context.shape) < 3 or (static and len(context.shapes[2]) < 2):
        raise ShapeError(f"expected bottoms T x N x ..., T x N, N x ..., found {context.shapes}")
    inputs = list(context.bottoms)
    inputs[0] = _flat(context, 0, 2)
    if static:
        inputs[2] = _flat(context, 2, 1)
    op = kind(channels, static, context.shape[0] if exposed else 0)
    weights = context.weights(**_blobs(context, params, op))
    if not exposed:
        context.emit(op, weights, inputs=inputs)
        return
    rows = context.internal("rows")
    context.emit(op, weights, inputs=inputs, outputs=[rows])
    _tell_apart(context, rows)


def _flat(context: Context, index: int, axis: int) -> str:
    """The bottom with one axis from `axis` on."""
    if len(context.shapes[index]) == axis + 1:
        return context.bottoms[index]
    flat = context.internal(f"flat{index}")
    context.emit(Flatten(axis), inputs=[context.bottoms[index]], outputs=[flat])
    return flat


def _blobs(context: Context, params: Params, op: Lstm | Rnn) -> dict[str, Blob]:
    sizes = [(1, 1, count(context.shape[2:])), (1, 1), (1, 1)]
    if op.static:
        sizes[2] = (1, count(context.shapes[2][1:]))
    fillers = params.filler("bias_filler"), params.filler("weight_filler")
    return {key: Blob(shape, fillers[len(shape) - 1]) for key, shape in op.matrices(sizes).items()}


def _tell_apart(context: Context, rows: str) -> None:
    """The output, and the last states: h of an LSTM is its output's last row."""
    steps = context.shape[0]
    context.emit(Slice(2, 0, (steps,)), inputs=[rows], outputs=[context.tops[0], context.tops[-1]])
    if len(context.tops) == 2:
        return
    if steps == 1:
        context.emit(Identity(), inputs=context.tops[:1], outputs=[context.tops[1]])
    else:
        early = context.internal("early")
        cut = Slice(2, 0, (steps - 1,))
        context.emit(cut, inputs=context.tops[:1], outputs=[early, context.tops[1]])


@caffe_layer("LSTMUnit")
def lstm_unit(context: Context) -> None:
    """One step: c = cont * f * c + i * g, h = o * tanh(c) of bottoms c, (i, f, o, g), cont."""
    context.expect(bottoms=3, tops=2)
    c, x, cont = context.shapes
    if len(c) != 3 or x != (1, *c[1:2], 4 * c[2]) or cont != (1, *c[1:2]) or c[0] != 1:
        raise ShapeError(f"expected bottoms 1 x N x H, 1 x N x 4H, 1 x N, found {context.shapes}")

    def apply(op: Operator, name: str, *inputs: str) -> str:
        context.emit(op, inputs=inputs, outputs=[name])
        return name

    gates = [context.internal(name) for name in "ifog"]
    context.emit(Slice(4, 2), inputs=context.bottoms[1:2], outputs=gates)
    functions = Sigmoid(), Sigmoid(), Sigmoid(), Tanh()
    i, f, o, g = (
        apply(op, context.internal("gate"), gate) for op, gate in zip(functions, gates, strict=True)
    )
    keep = apply(Scale(0), context.internal("keep"), f, context.bottoms[2])
    kept = apply(Eltwise("prod"), context.internal("kept"), keep, context.bottoms[0])
    new = apply(Eltwise("prod"), context.internal("new"), i, g)
    cell = apply(Eltwise("sum"), context.tops[0], kept, new)
    apply(Eltwise("prod"), context.tops[1], o, apply(Tanh(), context.internal("cell"), cell))
