"""Scale, Bias, LRN, MVN, Normalize, Softmax."""

from __future__ import annotations

from demitasse.converter.caffe.layers.eltwise import spread
from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.graph import Shape
from demitasse.converter.ops import (
    Bias,
    Eltwise,
    Lrn,
    Mvn,
    Normalize,
    Reshape,
    Scale,
    Softmax,
)
from demitasse.converter.ops.base import canonical_axis
from demitasse.errors import ParseError, ShapeError

REGIONS = {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1}


@caffe_layer("Scale")
def scale(context: Context) -> None:
    """With one bottom the scale is a blob, with two it is the second bottom."""
    context.expect(bottoms=range(1, 3))
    params = context.params("scale_param")
    axis, shape = _span(context, params)
    filler, bias_filler = params.filler("filler"), params.filler("bias_filler")
    expected = {"scale": Blob(shape, filler)} if len(context.bottoms) == 1 else {}
    if params.boolean("bias_term", False):
        expected["bias"] = Blob(shape, bias_filler)
    weights = context.weights(**expected)
    if len(context.bottoms) == 1:
        context.emit(Scale(axis), weights)
        return
    x, second = context.bottoms
    factors = x, spread(context, second, x, axis)
    if expected:
        product = context.between(Eltwise("prod"), *factors)
        context.emit(Bias(axis), weights, inputs=[product])
    else:
        context.emit(Eltwise("prod"), inputs=factors)


@caffe_layer("Bias")
def bias(context: Context) -> None:
    context.expect(bottoms=range(1, 3))
    params = context.params("bias_param")
    axis, shape = _span(context, params)
    filler = params.filler("filler")
    expected = {"bias": Blob(shape, filler)} if len(context.bottoms) == 1 else {}
    weights = context.weights(**expected)
    if expected:
        context.emit(Bias(axis), weights)
    else:
        x, second = context.bottoms
        context.emit(Eltwise("sum"), inputs=[x, spread(context, second, x, axis)])


def _span(context: Context, params: Params) -> tuple[int, Shape]:
    """The first axis and the shape of the parameter: `num_axes` axes from `axis` on."""
    axis, axes = params.integer("axis", 1), params.integer("num_axes", 1)
    if len(context.bottoms) > 1:
        shape = context.shapes[1]
        axes = len(shape)
        if axes == 0:
            return 0, ()
    start = canonical_axis(axis, len(context.shape))
    if axes < -1:
        raise ParseError(f"num_axes {axes} must not be below -1")
    end = len(context.shape) if axes == -1 else start + axes
    if end > len(context.shape):
        raise ShapeError(f"{axes} axes from axis {start} exceed shape {context.shape}")
    span = context.shape[start:end]
    if len(context.bottoms) > 1 and context.shapes[1] != span:
        raise ShapeError(
            f"the second bottom has shape {context.shapes[1]}, expected {span} from axis {start}"
        )
    return start, span


@caffe_layer("LRN", "LRNRistretto")
def lrn(context: Context) -> None:
    context.expect()
    params = context.params("lrn_param")
    params.ignore("engine")
    size = params.integer("local_size", 5)
    if size < 1 or size % 2 == 0:
        raise ParseError(f"local_size must be odd and positive, found {size}")
    across = params.symbol("norm_region", REGIONS, "ACROSS_CHANNELS") == "ACROSS_CHANNELS"
    if across and context.layer.bottoms[0] in context.layer.tops:
        context.remark("works in place: Caffe computes that on a GPU only, or else loses it")
    context.emit(
        Lrn(
            region="across" if across else "within",
            size=size,
            alpha=params.real("alpha", 1.0),
            beta=params.real("beta", 0.75),
            k=params.real("k", 1.0),
        )
    )


@caffe_layer("MVN")
def mvn(context: Context) -> None:
    """The top has four axes, whatever the bottom has."""
    context.expect()
    params = context.params("mvn_param")
    op = Mvn(
        variance=params.boolean("normalize_variance", True),
        across_channels=params.boolean("across_channels", False),
        eps=params.real("eps", 1e-9),
    )
    if len(context.shape) >= 4:
        context.emit(op)
        return
    image = context.internal("image")
    missing = (1,) * (4 - len(context.shape))
    context.emit(Reshape(missing, axis=-1, num_axes=0), outputs=[image])
    context.emit(op, inputs=[image])


@caffe_layer("Normalize", weighted=True)
def normalize(context: Context) -> None:
    """SSD's: the Euclidean norm becomes the scale."""
    context.expect()
    params = context.params("norm_param")
    shared = params.boolean("channel_shared", True)
    op = Normalize(params.boolean("across_spatial", True), params.real("eps", 1e-10))
    op.infer_shapes([context.shape], {})  # there is an axis 1
    shape = () if shared else context.shape[1:2]
    weights = context.weights(scale=Blob(shape, params.filler("scale_filler")))
    context.emit(op, {key: array.reshape(-1) for key, array in weights.items()})


@caffe_layer("Softmax")
def softmax(context: Context) -> None:
    context.expect()
    params = context.params("softmax_param")
    params.ignore("engine")
    context.emit(Softmax(canonical_axis(params.integer("axis", 1), len(context.shape))))
