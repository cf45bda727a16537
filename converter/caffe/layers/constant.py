"""A value that no input changes."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Constant
from demitasse.errors import ShapeError


@caffe_layer("Parameter", weighted=True)
def parameter(context: Context) -> None:
    """The layer's only blob; 0, as Caffe makes it, where there are no weights to read."""
    context.expect(bottoms=0)
    shape = context.params("parameter_param").part("shape").integers("dim")
    if min(shape, default=1) < 1:
        raise ShapeError(f"cannot have shape {shape}")
    weights = context.weights(value=Blob(shape))
    context.emit(Constant(), weights or {"value": np.broadcast_to(np.float32(0), shape)})
