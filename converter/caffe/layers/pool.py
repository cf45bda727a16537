"""Pooling."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import (
    Concat,
    Eltwise,
    Flatten,
    Pool2d,
    PoolMask,
    Power,
    Threshold,
)
from demitasse.errors import ParseError, ShapeError, UnsupportedError

Pair = tuple[int, int]
METHODS = {"MAX": 0, "AVE": 1, "STOCHASTIC": 2}
LEAST = 1e-30  # keeps the inverse of an empty window finite
ROUND_MODES = {"CEIL": 0, "FLOOR": 1}


@caffe_layer("Pooling")
def pooling(context: Context) -> None:
    context.expect(tops=range(1, 3))
    params = context.params("pooling_param")
    method = params.symbol("pool", METHODS, "MAX")
    if len(context.tops) > 1 and method != "MAX":
        raise ParseError(f"only MAX pooling has a mask as second top, not {method}")
    global_pooling = params.boolean("global_pooling", False)
    kernel = _kernel(params, global_pooling)
    pads = _pair(params, "pad", 0)
    stride = _pair(params, "stride", 1)
    if global_pooling and (pads != (0, 0) or stride != (1, 1)):
        raise ParseError("global_pooling needs pad 0 and stride 1")
    if min(*kernel, *stride) < 1 or min(pads) < 0:
        raise ParseError(
            f"kernel {kernel} and stride {stride} must be positive, pad {pads} not negative"
        )
    params.ignore("engine")
    if method == "STOCHASTIC" and pads != (0, 0):
        raise ParseError("only MAX and AVE pooling can pad")
    if method == "AVE" and pads != (0, 0) and not params.boolean("avg_include_pad", True):
        raise UnsupportedError("averages of the pixels without their padding are not supported")
    params.ignore("avg_include_pad")
    fields = (kernel, stride, pads, _rounds_up(params), global_pooling)
    x, top = context.bottoms[0], context.tops[0]
    if method == "STOCHASTIC":
        _stochastic(context, Pool2d("average", *fields), x, top)
        return
    kind = "max" if method == "MAX" else "average"
    context.emit(Pool2d(kind, *fields), outputs=context.tops[:1])
    if len(context.tops) > 1:
        context.emit(PoolMask(*fields), outputs=context.tops[1:])


def _stochastic(context: Context, mean: Pool2d, x: str, top: str) -> None:
    """What stochastic pooling expects of a window: the sum of squares over the sum, 0 where that
    is not above 0."""
    squares = context.between(mean, context.between(Power(2.0), x))
    sums = context.between(mean, x)
    inverse = context.between(Power(-1.0, 1.0, LEAST), sums)
    above = context.between(Threshold(), sums)
    context.emit(Eltwise("prod"), inputs=[squares, above, inverse], outputs=[top])


@caffe_layer("SPP")
def spatial_pyramid(context: Context) -> None:
    """Pools over 1 x 1, 2 x 2, 4 x 4 ... windows, as one row of channels a sample."""
    context.expect()
    context.refuse_in_place()
    params = context.params("spp_param")
    params.ignore("engine")
    method = params.symbol("pool", METHODS, "MAX")
    levels = params.integer("pyramid_height")
    if levels < 1:
        raise ParseError(f"pyramid_height must be positive, found {levels}")
    if len(context.shape) != 4:
        raise ShapeError(f"expected a 4-D bottom, found shape {context.shape}")
    rows = []
    for level in range(levels):
        pool = Pool2d("max" if method == "MAX" else "average", bins=2**level)
        top = context.tops[0] if levels == 1 else context.internal("level")
        if method == "STOCHASTIC":
            if any(pool.window(context.shape)[2]):
                raise ParseError("only MAX and AVE pooling can pad")
            _stochastic(context, pool, context.bottoms[0], top)
        else:
            context.emit(pool, outputs=[top])
        rows.append(top)
    if levels > 1:
        rows = [context.between(Flatten(), row) for row in rows]
        context.emit(Concat(1), inputs=rows)


def _rounds_up(params: Params) -> bool:
    """BVLC's round_mode; several forks have a truth value ceil_mode instead."""
    floor = params.symbol("round_mode", ROUND_MODES, "CEIL") == "FLOOR"
    return params.boolean("ceil_mode", not floor)


def _kernel(params: Params, global_pooling: bool) -> Pair:
    size = params.integer("kernel_size")
    height, width = params.integer("kernel_h"), params.integer("kernel_w")
    if global_pooling:
        if size or height or width:
            raise ParseError("global_pooling takes the input's size, a kernel is given too")
        return 1, 1
    if size and (height or width):
        raise ParseError("has both kernel_size and kernel_h/kernel_w", remedy="give only one")
    if not size and not (height and width):
        raise ParseError("has no kernel_size", remedy="give kernel_size, or kernel_h and kernel_w")
    return (size, size) if size else (height, width)


def _pair(params: Params, both: str, default: int) -> Pair:
    vertical, horizontal = f"{both}_h", f"{both}_w"
    if vertical in params or horizontal in params:
        if both in params:
            raise ParseError(f"has both {both} and {vertical}/{horizontal}", remedy="give only one")
        if not (vertical in params and horizontal in params):
            raise ParseError(f"has only one of {vertical} and {horizontal}", remedy="give both")
        return params.integer(vertical, default), params.integer(horizontal, default)
    value = params.integer(both, default)
    return value, value
