"""Layers that pick values by an index, or make few of many."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import (
    ArgMax,
    Concat,
    Embed,
    Flatten,
    Gather,
    Operator,
    Reduce,
    Reshape,
    Reverse,
)
from demitasse.converter.ops.base import canonical_axis
from demitasse.errors import ParseError, ShapeError, UnsupportedError

OPERATIONS = {"SUM": 1, "ASUM": 2, "SUMSQ": 3, "MEAN": 4}


@caffe_layer("BatchReindex")
def batch_reindex(context: Context) -> None:
    """The samples of the first bottom that the second names."""
    context.expect(bottoms=2)
    context.refuse_in_place()
    if len(context.shapes[1]) != 1:
        raise ShapeError(f"the indices have shape {context.shapes[1]}, expected one axis")
    context.emit(Gather(0))


@caffe_layer("Reverse")
def reverse(context: Context) -> None:
    """Forks' layer; a fork that tells the length of each sequence has a second bottom."""
    if len(context.bottoms) == 2:
        raise UnsupportedError("reversing sequences of different lengths is not supported")
    context.expect()
    axes = context.params("reverse_param").integers("axis") or (0,)
    context.chain(*(Reverse(canonical_axis(axis, len(context.shape))) for axis in axes))


@caffe_layer("Embed", weighted=True)
def embed(context: Context) -> None:
    context.expect()
    params = context.params("embed_param")
    rows, channels = params.integer("input_dim"), params.integer("num_output")
    if rows < 1 or channels < 1:
        raise ParseError(f"input_dim {rows} and num_output {channels} must be positive")
    expected = {"table": Blob((rows, channels), params.filler("weight_filler"))}
    bias_filler = params.filler("bias_filler")
    if params.boolean("bias_term", True):
        expected["bias"] = Blob((channels,), bias_filler)
    context.emit(Embed(rows, channels), context.weights(**expected))


@caffe_layer("Reduction")
def reduction(context: Context) -> None:
    context.expect()
    params = context.params("reduction_param")
    kind = params.symbol("operation", OPERATIONS, "SUM").lower()
    axis = canonical_axis(params.integer("axis", 0), len(context.shape))
    context.emit(Reduce(kind, axis, params.real("coeff", 1.0)))


@caffe_layer("ArgMax")
def argmax(context: Context) -> None:
    """Along an axis: indices, or values in their place. Without one over all of a sample:
    (N, 1, top_k), or with the values (N, 2, top_k), and at least as many axes as the bottom."""
    context.expect()
    params = context.params("argmax_param")
    top_k, values = params.integer("top_k", 1), params.boolean("out_max_val", False)
    if top_k < 1:
        raise ParseError(f"top_k must be positive, found {top_k}")
    rank = len(context.shape)
    if "axis" in params:
        context.emit(ArgMax(canonical_axis(params.integer("axis"), rank), top_k, values))
        return
    samples: Operator = Flatten() if rank > 1 else Reshape((1,), axis=1, num_axes=0)
    flat = context.between(samples, context.bottoms[0])
    row = Reshape((1,), axis=1, num_axes=0)
    rest = Reshape((1,) * (rank - 3), axis=-1, num_axes=0)
    parts = []
    for wants_values in (False, True)[: 1 + values]:
        found = context.between(ArgMax(1, top_k, wants_values), flat)
        parts.append(context.between(row, found))
    joined = context.between(Concat(1), *parts) if values else parts[0]
    context.chain(rest, source=joined)
