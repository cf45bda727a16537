"""Layers that pick values by an index, or make few of many."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Symbol, Value
from demitasse.converter.ops import ArgMax, Embed, Gather, Reduce, Reverse
from demitasse.converter.ops.base import canonical_axis
from demitasse.converter.ops.gather import whole_indices
from demitasse.errors import UnsupportedError


def gather(step: Step, op: Gather) -> None:
    """BatchReindex picks samples. Along another axis constant indices are slices, joined again."""
    axis = canonical_axis(op.axis, len(step.shape))
    if len(step.inputs) == 2 and axis == 0:
        step.layer("BatchReindex")
    elif len(step.inputs) == 2:
        raise UnsupportedError(f"Caffe takes no indices along axis {axis} from another layer")
    elif axis == 0:
        indices = step.blob("indices")
        value = step.weights["indices"].astype(np.float32)
        step.parameter(indices, value)
        step.layer("BatchReindex", inputs=(*step.inputs, indices))
    else:
        _by_slices(step, axis)


def _by_slices(step: Step, axis: int) -> None:
    size = step.shape[axis]
    chosen = whole_indices(step.weights["indices"], size)
    tops = [step.blob(f"part{index}") for index in range(size)]
    if size > 1:
        step.layer("Slice", "slice_param", {"axis": axis}, outputs=tops)
    else:
        tops = list(step.inputs)
    parts = [tops[index] for index in chosen]
    step.layer("Concat", "concat_param", {"axis": axis}, inputs=parts)


def reverse(step: Step, op: Reverse) -> None:
    """A fork's layer."""
    step.layer("Reverse", "reverse_param", {"axis": op.axis})


def embed(step: Step, op: Embed) -> None:
    fields: dict[str, Value] = {"num_output": op.channels, "input_dim": op.rows}
    if "bias" not in step.weights:
        fields["bias_term"] = False
    step.layer("Embed", "embed_param", fields, step.stored("table", "bias"))


def reduce(step: Step, op: Reduce) -> None:
    fields: dict[str, Value] = {"operation": Symbol(op.kind.upper()), "axis": op.axis}
    if op.coefficient != 1:
        fields["coeff"] = op.coefficient
    step.layer("Reduction", "reduction_param", fields)


def argmax(step: Step, op: ArgMax) -> None:
    fields: dict[str, Value] = {"out_max_val": True} if op.values else {}
    fields |= {"top_k": op.top_k, "axis": op.axis}
    step.layer("ArgMax", "argmax_param", fields)
