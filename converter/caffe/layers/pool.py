"""Pooling."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Pool2d, PoolMask
from demitasse.errors import ParseError, UnsupportedError

Pair = tuple[int, int]
METHODS = {"MAX": 0, "AVE": 1, "STOCHASTIC": 2}
ROUND_MODES = {"CEIL": 0, "FLOOR": 1}


@caffe_layer("Pooling")
def pooling(context: Context) -> None:
    context.expect(tops=range(1, 3))
    params = context.params("pooling_param")
    method = params.symbol("pool", METHODS, "MAX")
    if method == "STOCHASTIC":
        raise UnsupportedError("stochastic pooling is not supported", remedy="use MAX or AVE")
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
    fields = (kernel, stride, pads, _rounds_up(params), global_pooling)
    kind = "max" if method == "MAX" else "average"
    context.emit(Pool2d(kind, *fields), outputs=context.tops[:1])
    if len(context.tops) > 1:
        context.emit(PoolMask(*fields), outputs=context.tops[1:])


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
