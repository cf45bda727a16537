"""Normalisations, per-axis scale and bias, softmax."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Symbol, Value
from demitasse.converter.ops import BatchNorm, Bias, Lrn, Mvn, Normalize, Scale, Softmax


def batch_norm(step: Step, op: BatchNorm) -> None:
    """The statistics are not divided by a factor any more: the third blob is 1."""
    arrays = [*step.stored("mean", "variance"), np.ones(1, np.float32)]
    fields = {"use_global_stats": True, "eps": op.eps}
    step.layer("BatchNorm", "batch_norm_param", fields, arrays)


def scale(step: Step, op: Scale) -> None:
    fields = _span(step, op.axis, "scale")
    if "bias" in step.weights:
        fields["bias_term"] = True
    step.layer("Scale", "scale_param", fields, step.stored("scale", "bias"))


def bias(step: Step, op: Bias) -> None:
    step.layer("Bias", "bias_param", _span(step, op.axis, "bias"), step.stored("bias"))


def _span(step: Step, axis: int, key: str) -> dict[str, Value]:
    """Where the parameter starts and, if it is no input, how many axes it has."""
    fields: dict[str, Value] = {"axis": axis} if axis != 1 else {}
    if len(step.inputs) == 1 and step.weights[key].ndim != 1:
        fields["num_axes"] = step.weights[key].ndim
    return fields


def lrn(step: Step, op: Lrn) -> None:
    fields: dict[str, Value] = {"local_size": op.size, "alpha": op.alpha, "beta": op.beta}
    if op.region == "within":
        fields["norm_region"] = Symbol("WITHIN_CHANNEL")
    elif op.k != 1:
        fields["k"] = op.k
    step.layer("LRN", "lrn_param", fields)


def softmax(step: Step, op: Softmax) -> None:
    step.layer("Softmax", "softmax_param", {"axis": op.axis} if op.axis != 1 else {})


def mvn(step: Step, op: Mvn) -> None:
    fields = {"normalize_variance": op.variance, "across_channels": op.across_channels}
    step.layer("MVN", "mvn_param", {**fields, "eps": op.eps})


def normalize(step: Step, op: Normalize) -> None:
    """SSD's layer."""
    shared = step.weights["scale"].size == 1
    fields = {"across_spatial": op.across_spatial, "channel_shared": shared, "eps": op.eps}
    step.layer("Normalize", "norm_param", fields, step.stored("scale"))
