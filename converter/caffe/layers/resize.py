"""Layers that make images larger or smaller: forks' layers, all of them."""

from __future__ import annotations

from demitasse.converter.caffe.layers.shape import nearest
from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Resize, Unpool
from demitasse.errors import ParseError, ShapeError, UnsupportedError

Pair = tuple[int, int]


MODES = {"NEAREST": 0, "BILINEAR": 1, "nearest": 0, "bilinear": 1}
RESIZE_TYPES = {"BILINEAR": 0, "NEAREST": 1}
NEAREST_DIALECTS = ("yolo", "caffe2onnx")


@caffe_layer("Upsample")
def upsample(context: Context) -> None:
    """One name, three layers: with a mask as second bottom SegNet's, else YOLO's that repeats
    pixels, or one that interpolates."""
    context.expect(bottoms=range(1, 3))
    params = context.params("upsample_param")
    if len(context.bottoms) == 2:
        _unpool(context, params)
        return
    if context.dialect == "segnet":
        raise ParseError("Upsample takes a mask as second bottom in the dialect segnet")
    height, width = _upsample_factors(context, params)
    mode = params.symbol("mode", MODES, "").lower()
    if not mode and context.dialect not in NEAREST_DIALECTS:
        context.remark(
            "Upsample is read as YOLO's, which repeats pixels",
            "--dialect yolo says that it is; `mode: BILINEAR` in the text that it interpolates",
        )
    if mode == "bilinear":
        context.emit(Resize(scale=(height, width), rule=_rule(params)))
    else:
        nearest(context, height, width)


def _upsample_factors(context: Context, params: Params) -> Pair:
    """scale, or stride (then scale multiplies the values), or the size of the output."""
    if "upsample_h" in params and "upsample_w" in params:
        size = params.integer("upsample_h"), params.integer("upsample_w")
        whole = [_factor(n, out) for n, out in zip(_image(context), size, strict=True)]
        return whole[0], whole[1]
    if any(name in params for name in ("stride", "stride_h", "stride_w")):
        if params.real("scale", 1.0) != 1.0:
            raise UnsupportedError("upsampling that multiplies the values is not supported")
        both = params.integer("stride", 2)
        factors = params.integer("stride_h", both), params.integer("stride_w", both)
    else:
        both = _whole(params.real("scale", 1.0), "scale")
        factors = params.integer("scale_h", both), params.integer("scale_w", both)
    if min(factors) < 1:
        raise ParseError(f"upsampling by {factors} must be by 1 or more")
    return factors


def _whole(factor: float, name: str) -> int:
    if factor != int(factor):
        raise UnsupportedError(f"{name} {factor:g} is no whole number")
    return int(factor)


def _factor(size: int, out: int) -> int:
    if out < 1 or out % size:
        raise UnsupportedError(f"repeating {size} pixels does not give {out}")
    return out // size


def _image(context: Context) -> Pair:
    if len(context.shape) != 4:
        raise ShapeError(f"expected a 4-D bottom, found shape {context.shape}")
    return context.shape[2], context.shape[3]


def _rule(params: Params) -> str:
    return "align_corners" if params.boolean("align_corners", False) else "half_pixel"


def _unpool(context: Context, params: Params) -> None:
    """SegNet's: upsample_h and upsample_w, else scale_h and scale_w, else scale."""
    names = ("upsample_h", "upsample_w", "scale_h", "scale_w")
    has_h, has_w, scale_h, scale_w = (name in params for name in names)
    if has_h and has_w:
        size = params.integer("upsample_h"), params.integer("upsample_w")
        if min(size) <= 1:
            raise ParseError(f"upsample_h and upsample_w must be above 1, found {size}")
        params.ignore("scale", "scale_h", "scale_w", "pad_out_h", "pad_out_w")
        context.emit(Unpool(size=size))
        return
    if scale_h != scale_w or (scale_h and "scale" in params):
        raise ParseError(
            "needs one of scale, scale_h and scale_w, upsample_h and upsample_w",
            remedy="give upsample_h and upsample_w",
        )
    both = params.integer("scale", 2)
    scale = params.integer("scale_h", both), params.integer("scale_w", both)
    cut = int(params.boolean("pad_out_h")), int(params.boolean("pad_out_w"))
    if min(scale) <= 1:
        raise ParseError(f"unpooling must be by more than 1, found {scale}")
    for axis, factor, less in zip("hw", scale, cut, strict=True):
        if less and factor != 2:
            raise ParseError(f"pad_out_{axis} needs scale 2, found {factor}")
    context.emit(Unpool(scale=scale, cut=cut))


@caffe_layer("MaxUnpool", "MaxUnPool")
def max_unpool(context: Context) -> None:
    """Second bottom: the mask. The size is given, or follows from the pooling's parameters."""
    context.expect(bottoms=2)
    size, window = context.params("max_unpool_param"), context.params("pooling_param")
    if "dst_h" in size and "dst_w" in size:
        context.emit(Unpool(size=(size.integer("dst_h"), size.integer("dst_w"))))
        return
    if "kernel_size" not in window and "kernel_h" not in window:
        _unpool(context, context.params("upsample_param"))
        return
    axes = [
        [window.integer(f"{name}_{axis}", window.integer(both, default)) for axis in "hw"]
        for name, both, default in (
            ("kernel", "kernel_size", 0),
            ("stride", "stride", 1),
            ("pad", "pad", 0),
        )
    ]
    (kh, kw), (sh, sw), (ph, pw) = axes
    window.ignore("pool")
    context.emit(Unpool(scale=(sh, sw), cut=(sh - kh + 2 * ph, sw - kw + 2 * pw)))


@caffe_layer("Interp")
def interp(context: Context) -> None:
    """DeepLab's and PSPNet's. Which fields are present decides, not their values."""
    context.expect(bottoms=range(1, 3))
    params = context.params("interp_param")
    crop = -params.integer("pad_beg"), -params.integer("pad_end")
    if min(crop) < 0:
        raise ParseError("pad_beg and pad_end must not be above 0: Interp only crops")
    names = ("shrink_factor", "zoom_factor", "height", "width")
    shrinks, zooms, high, wide = (name in params for name in names)
    shrink, zoom = params.integer("shrink_factor", 1), params.integer("zoom_factor", 1)
    size = params.integer("height"), params.integer("width")
    if len(context.bottoms) == 2:
        if shrinks or zooms or high or wide:
            raise ParseError("takes its size from the second bottom, and has it as a parameter too")
        context.emit(Resize(crop=crop))
    elif shrinks != zooms or (shrinks and not (high and wide)):
        if min(shrink, zoom) < 1:
            raise ParseError(f"shrink_factor {shrink} and zoom_factor {zoom} must be positive")
        context.emit(Resize(shrink=shrink, zoom=zoom, crop=crop))
    elif high and wide:
        if min(size) < 1:
            raise ParseError(f"height and width must be positive, found {size}")
        context.emit(Resize(size=size, crop=crop))
    else:
        raise ParseError(
            "has no size", remedy="give height and width, zoom_factor or shrink_factor"
        )


@caffe_layer("BilinearInterpolate")
def bilinear_interpolate(context: Context) -> None:
    context.expect()
    params = context.params("bilinear_interpolate_param")
    rule, rows_columns = _rule(params), _image(context)
    sized = "dst_h" in params or "dst_w" in params
    if sized == ("scale_factor" in params):
        raise ParseError("needs either dst_h and dst_w or scale_factor")
    if not sized:
        factor = params.real("scale_factor")
        context.emit(Resize(scale=(factor, factor), rule=rule))
        return
    height, width = rows_columns
    size = params.integer("dst_h", height), params.integer("dst_w", width)
    context.emit(Resize(size=size, rule=rule))


@caffe_layer("DeephiResize")
def deephi_resize(context: Context) -> None:
    """Xilinx's, which resizes as OpenCV does."""
    context.expect()
    params = context.params("deephi_resize_param")
    height, width = _image(context)
    kind = params.symbol("resize_type", RESIZE_TYPES, "BILINEAR")
    if "resize_type" not in params:
        context.remark("DeephiResize without a resize_type is read as bilinear")
    for one, other in (("new_height", "new_width"), ("scale_h", "scale_w")):
        if (one in params) != (other in params):
            raise ParseError(f"{one} and {other} must be given together")
    size, scale = (0, 0), (params.real("scale_h", 1.0), params.real("scale_w", 1.0))
    if "new_height" in params:
        size, scale = (params.integer("new_height"), params.integer("new_width")), (0.0, 0.0)
    op = Resize(size=size, scale=scale, rule="half_pixel")
    if kind == "BILINEAR":
        context.emit(op)
    else:
        ((*_, rows, columns),) = op.infer_shapes([context.shape], {})
        nearest(context, _factor(height, rows), _factor(width, columns))


@caffe_layer("NNUpsample")
def nn_upsample(context: Context) -> None:
    context.expect()
    factor = context.params("nn_upsample_param").integer("resize")
    if factor < 1:
        raise ParseError(f"resize must be positive, found {factor}")
    nearest(context, factor, factor)
