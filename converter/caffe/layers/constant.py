"""A value that no input changes."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.deploy import dummy_shapes
from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Constant
from demitasse.errors import ParseError, ShapeError


@caffe_layer("DummyData")
def dummy_data(context: Context) -> None:
    """Tops of one value each; only where the net has inputs beside it (`deploy.constant_data`)."""
    context.expect(bottoms=0, tops=range(1, 1 << 20))
    params = context.params("dummy_data_param")
    tops = len(context.tops)
    fillers = params.parts("data_filler")
    for filler in fillers:
        filler.ignore("type")
    values = [filler.real("value") for filler in fillers] or [0.0]
    shapes = dummy_shapes(params)
    for found, what in ((values, "fillers"), (shapes, "shapes")):
        if len(found) not in (1, tops):
            raise ParseError(f"{len(found)} {what} for {tops} tops")
    for i, top in enumerate(context.tops):
        shape = shapes[i % len(shapes)]
        if min(shape, default=1) < 1:
            raise ShapeError(f"top '{top}' cannot have shape {shape}")
        value = np.broadcast_to(np.float32(values[i % len(values)]), shape)
        context.emit(Constant(), {"value": value}, inputs=[], outputs=[top])


@caffe_layer("Parameter", weighted=True)
def parameter(context: Context) -> None:
    """The layer's only blob; 0, as Caffe makes it, where there are no weights to read."""
    context.expect(bottoms=0)
    shape = context.params("parameter_param").part("shape").integers("dim")
    if min(shape, default=1) < 1:
        raise ShapeError(f"cannot have shape {shape}")
    weights = context.weights(value=Blob(shape))
    context.emit(Constant(), weights or {"value": np.broadcast_to(np.float32(0), shape)})
