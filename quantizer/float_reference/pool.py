"""Windows."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import Pool2d, PoolMask, Unpool
from demitasse.converter.ops.pool import scatter
from demitasse.quantizer.float_reference.base import F, Inputs, larger
from demitasse.quantizer.integer.pool import window_areas, windows


def pool(op: Pool2d, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0]
    (shape,) = op.infer_shapes([x.shape], {})
    is_max = op.kind == "max"
    start = F(np.finfo(np.float32).min) if is_max else F(0)
    views = windows(op, x, shape, start)
    total = np.full(shape, start)
    for i in range(views.shape[-2]):
        for j in range(views.shape[-1]):
            tap = views[..., i, j]
            total = larger(tap, total) if is_max else total + tap
    if is_max:
        return total
    return total / window_areas(op, x.shape, shape).astype(np.float32)


def pool_mask(op: PoolMask, inputs: Inputs, weights: Arrays) -> np.ndarray:
    return op.reference([inputs[0].astype(np.float32)], weights)[0]  # codes have the order of reals


def unpool(op: Unpool, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x, mask = inputs
    return scatter(x, mask, op.infer_shapes([x.shape, mask.shape], weights)[0], 0)
