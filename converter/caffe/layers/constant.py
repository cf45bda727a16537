"""A value that no input changes."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Constant


@caffe_layer("Parameter", weighted=True)
def parameter(context: Context) -> None:
    """The layer's only blob; 0, as Caffe makes it, where there are no weights to read."""
    context.expect(bottoms=0)
    shape = context.params("parameter_param").part("shape").integers("dim")
    weights = context.weights(value=Blob(shape))
    context.emit(Constant(), weights or {"value": np.zeros(shape, np.float32)})
