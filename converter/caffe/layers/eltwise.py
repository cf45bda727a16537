"""Eltwise."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Eltwise

OPERATIONS = {"PROD": 0, "SUM": 1, "MAX": 2}


@caffe_layer("Eltwise")
def eltwise(context: Context) -> None:
    context.expect(bottoms=range(2, 1 << 20))
    params = context.params("eltwise_param")
    params.ignore("stable_prod_grad")
    kind = params.symbol("operation", OPERATIONS, "SUM").lower()
    coefficients = params.reals("coeff")
    if kind == "max" and len(coefficients) == len(context.bottoms):
        coefficients = ()  # Caffe checks their number and makes no use of them
    context.emit(Eltwise(kind, coefficients))
