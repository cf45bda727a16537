"""Pooling of regions of interest."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import PsRoiPool, RoiPool
from demitasse.errors import ParseError


@caffe_layer("ROIPooling")
def roi_pooling(context: Context) -> None:
    context.expect(bottoms=2)
    params = context.params("roi_pooling_param")
    pooled = params.integer("pooled_h"), params.integer("pooled_w")
    if min(pooled) < 1:
        raise ParseError("pooled_h and pooled_w must be positive")
    context.emit(RoiPool(pooled, params.real("spatial_scale", 1.0)))


@caffe_layer("PSROIPooling")
def psroi_pooling(context: Context) -> None:
    context.expect(bottoms=2)
    params = context.params("psroi_pooling_param")
    channels, group = params.integer("output_dim"), params.integer("group_size")
    if min(channels, group) < 1 or "spatial_scale" not in params:
        raise ParseError("needs output_dim, group_size and spatial_scale")
    context.emit(PsRoiPool(channels, group, params.real("spatial_scale")))
