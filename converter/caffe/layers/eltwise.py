"""Layers that combine several bottoms element by element."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Eltwise, Expand, Identity, Reshape
from demitasse.errors import ShapeError

OPERATIONS = {"PROD": 0, "SUM": 1, "MAX": 2}


@caffe_layer("Eltwise")
def eltwise(context: Context) -> None:
    context.expect(bottoms=range(2, 1 << 20))
    params = context.params("eltwise_param")
    params.ignore("stable_prod_grad", "engine")
    kind = params.symbol("operation", OPERATIONS, "SUM").lower()
    coefficients, inputs = params.reals("coeff"), _alike(context)
    if kind == "max" and len(coefficients) == len(context.bottoms):
        coefficients = ()  # Caffe checks their number and makes no use of them
    op = Eltwise(kind, coefficients)
    if kind != "prod" and context.layer.bottoms[0] in context.layer.tops:
        context.remark("works in place: Caffe clears the first bottom before it adds it")
        if kind == "sum":
            op = Eltwise(kind, (0.0, *(coefficients or (1.0,) * len(inputs))[1:]))
        else:
            op.infer_shapes([context.shape_of(x) for x in inputs], {})
            inputs = inputs[1:]
    context.emit(op if len(inputs) > 1 else Identity(), inputs=inputs)


def _alike(context: Context) -> tuple[str, ...]:
    """The bottoms; single pixels (N, C, 1, 1) among images are spread over these, as in forks."""
    largest = max(range(len(context.shapes)), key=lambda i: context.shapes[i][2:])
    whole = context.shapes[largest]
    pixel = (*whole[:2], 1, 1)
    if len(whole) != 4 or not set(context.shapes) <= {whole, pixel} or len({*context.shapes}) < 2:
        return context.bottoms
    context.remark("the bottoms differ in size: single pixels are spread over the others")
    onto = context.bottoms[largest]
    pairs = zip(context.bottoms, context.shapes, strict=True)
    return tuple(x if shape == whole else spread(context, x, onto, 0) for x, shape in pairs)


def spread(context: Context, tensor: str, onto: str, axis: int) -> str:
    """The tensor over the axes of `onto` from `axis` on, repeated along the others."""
    missing = len(context.shape_of(onto)) - len(context.shape_of(tensor)) - axis
    if missing:
        tensor = context.between(Reshape((1,) * missing, axis=-1, num_axes=0), tensor)
    if axis:
        tensor = context.between(Reshape((1,) * axis, axis=0, num_axes=0), tensor)
    return context.between(Expand(), tensor, onto)


@caffe_layer("Axpy")
def axpy(context: Context) -> None:
    """SENet's: a * x + y, one a for each channel of each sample."""
    context.expect(bottoms=3)
    (scale, x, y), (scale_shape, x_shape, y_shape) = context.bottoms, context.shapes
    if scale_shape not in (x_shape[:2], (*x_shape[:2], *(1,) * len(x_shape[2:]))):
        raise ShapeError(f"a scale of shape {scale_shape} for {x_shape}")
    if x_shape != y_shape:
        raise ShapeError(f"bottoms 1 and 2 differ in shape: {x_shape} and {y_shape}")
    scaled = context.between(Eltwise("prod"), x, spread(context, scale, x, 0))
    context.emit(Eltwise("sum"), inputs=[scaled, y])
