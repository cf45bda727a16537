"""Integer forms of the operators: how their constants are made, and what they compute.

Adding an operator is one row in each table. A class without a row in BUILDERS runs in float32;
so does a node for which its builder returns None.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from demitasse.converter.ops import (
    Abs,
    BatchNorm,
    Bias,
    Bnll,
    Clip,
    Conv2d,
    Deconv2d,
    Eltwise,
    Elu,
    Exp,
    Gather,
    HardSigmoid,
    HardSwish,
    InnerProduct,
    Log,
    Lookup,
    Lrn,
    Mish,
    Normalize,
    Pool2d,
    Power,
    PRelu,
    Reduce,
    Relu,
    Rescale,
    Resize,
    Scale,
    Sigmoid,
    Swish,
    Tanh,
    Threshold,
    Unpool,
)
from demitasse.quantizer.integer.activation import (
    build_hard_sigmoid,
    build_lookup,
    build_power,
    build_rectifier,
    run_lookup,
    run_rescale,
)
from demitasse.quantizer.integer.base import Built, Call, Site
from demitasse.quantizer.integer.conv import build_convolution, run_convolution
from demitasse.quantizer.integer.eltwise import build_eltwise, run_eltwise
from demitasse.quantizer.integer.norm import (
    build_affine,
    build_lrn,
    build_normalize,
    run_lrn,
    run_normalize,
)
from demitasse.quantizer.integer.pool import build_pool, run_pool
from demitasse.quantizer.integer.reduce import build_reduce, run_gather, run_reduce
from demitasse.quantizer.integer.resize import build_resize, run_resize, run_unpool

# class of a float operator -> its integer nodes
BUILDERS: dict[type, Callable[[Site], Built | None]] = {
    Conv2d: build_convolution,
    Deconv2d: build_convolution,
    InnerProduct: build_convolution,
    Pool2d: build_pool,
    Eltwise: build_eltwise,
    Relu: build_rectifier,
    Clip: build_rectifier,
    PRelu: build_rectifier,
    Elu: build_lookup,
    Sigmoid: build_lookup,
    Tanh: build_lookup,
    **dict.fromkeys((Abs, Exp, Log, Bnll, Threshold), build_lookup),
    **dict.fromkeys((Swish, Mish, HardSwish), build_lookup),
    HardSigmoid: build_hard_sigmoid,
    Power: build_power,
    BatchNorm: build_affine,
    Scale: build_affine,
    Bias: build_affine,
    Lrn: build_lrn,
    Normalize: build_normalize,
    Resize: build_resize,
    Reduce: build_reduce,
}

# class of an integer operator -> its definition on stored values (int64 in and out)
RUNNERS: dict[type, Callable[[Call], np.ndarray]] = {
    Conv2d: run_convolution,
    Deconv2d: run_convolution,
    InnerProduct: run_convolution,
    Pool2d: run_pool,
    Eltwise: run_eltwise,
    Rescale: run_rescale,
    Lookup: run_lookup,
    Lrn: run_lrn,
    Normalize: run_normalize,
    Resize: run_resize,
    Unpool: run_unpool,
    Reduce: run_reduce,
    Gather: run_gather,
}

__all__ = ["BUILDERS", "RUNNERS", "Built", "Call", "Site"]
