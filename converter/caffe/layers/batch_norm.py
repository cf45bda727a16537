"""BatchNorm and its forks: which blobs there are, in which order, tells them apart."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.layers.activation import fused_relu
from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import BatchNorm, Operator, Scale
from demitasse.errors import ShapeError, UnsupportedError, WeightsError

MODES = {"LEARN": 0, "INFERENCE": 1}
STATISTICS = ("mean", "variance", "factor")
LEAST_EPS = 1e-5  # cuDNN's, which NVIDIA's layer is never below

Weights = dict[str, np.ndarray]


@caffe_layer("BatchNorm", "CuDNNBatchNorm", "SyncBN", "SyncBatchNorm", weighted=True)
def batch_norm(context: Context) -> None:
    """BVLC's, with mean, variance and the factor that both are divided by (0 makes both 0), and
    NVIDIA's and Intel's, which also scale and shift."""
    context.expect()
    params = context.params("batch_norm_param")
    params.ignore("moving_average_fraction", "engine", "stats_batch_size", "update_global_stats")
    params.ignore("scale_bias", "scale_filler", "bias_filler", "filler", "weight_filler")
    if not params.boolean("use_global_stats", context.phase == "TEST"):
        context.remark("use_global_stats is off: the stored statistics are used all the same")
    eps = params.real("eps", 1e-5)
    intel = any(name in params for name in ("use_weight_bias", "bias_term"))
    keys = _keys(context)
    weights = _fit(context, keys)
    nvidia = len(keys) == 5 and not (intel or context.dialect == "intel")
    if nvidia:
        eps = max(eps, LEAST_EPS)
    elif "factor" in weights:
        factor = weights["factor"][0]
        inverse = np.float32(0 if factor == 0 else 1 / factor)
        weights |= {key: weights[key] * inverse for key in ("mean", "variance")}
    weights.pop("factor", None)
    _emit(context, params, eps, weights, "scale" in keys)


def _keys(context: Context) -> tuple[str, ...]:
    """The names of the layer's blobs. NVIDIA had two orders of five; the blob of one element, a
    factor or a count, tells which."""
    stored = context.arrays()
    if len(stored) == 5 and stored[4].size == 1 and stored[2].size != 1:
        return "scale", "bias", "mean", "variance", "factor"
    known = {2: STATISTICS[:2], 4: (*STATISTICS, "scale"), 5: (*STATISTICS, "scale", "bias")}
    return known.get(len(stored), STATISTICS)


def _fit(context: Context, keys: tuple[str, ...]) -> Weights:
    if len(context.shape) < 2:
        raise ShapeError(f"BatchNorm needs at least 2 axes, found shape {context.shape}")
    channels = context.shape[1:2]
    weights = context.weights(**{key: Blob((1,) if key == "factor" else channels) for key in keys})
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise WeightsError("the stored statistics hold NaN or infinity")
    return weights


def _emit(context: Context, params: Params, eps: float, weights: Weights, scales: bool) -> None:
    """The normalization, then what scales and shifts it, then a fused ReLU."""
    relu = fused_relu(params)
    parts: list[tuple[Operator, Weights]] = [
        (BatchNorm(eps), {k: v for k, v in weights.items() if k in STATISTICS})
    ]
    if scales:
        parts.append((Scale(1), {k: v for k, v in weights.items() if k in ("scale", "bias")}))
    if relu:
        parts.append((relu, {}))
    x = context.bottoms[0]
    for op, arrays in parts[:-1]:
        x = context.between(op, x, **arrays)
    op, arrays = parts[-1]
    context.emit(op, arrays, inputs=[x])


@caffe_layer("BN", weighted=True)
def bn(context: Context) -> None:
    """Two forks' layers: yjxiong's and PSPNet's with slope, bias, mean and variance; SegNet's with
    the scale and shift that its statistics were folded into."""
    context.expect()
    params = context.params("bn_param")
    params.ignore("momentum", "frozen", "engine", "slope_filler", "bias_filler")
    params.ignore("scale_filler", "shift_filler", "moving_average", "update_global_stats")
    eps = params.real("eps", 1e-5)
    segnet = len(context.arrays()) == 2 or "bn_mode" in params or context.dialect == "segnet"
    if not segnet:
        weights = _fit(context, ("scale", "bias", "mean", "variance"))
        _emit(context, params, eps, weights, True)
        return
    if params.symbol("bn_mode", MODES, "LEARN") == "LEARN":
        raise UnsupportedError(
            "bn_mode LEARN takes its statistics from the batch",
            remedy="deploy with bn_mode INFERENCE and the weights that SegNet's script makes",
        )
    context.emit(Scale(1), _fit(context, ("scale", "bias")))
