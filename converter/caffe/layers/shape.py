"""Layers that move values without computing."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import (
    Concat,
    Crop,
    Expand,
    Flatten,
    Identity,
    Permute,
    Power,
    Reshape,
    Slice,
)
from demitasse.converter.ops.base import canonical_axis
from demitasse.errors import ParseError, ShapeError

MANY = range(1, 1 << 20)


@caffe_layer("Concat")
def concat(context: Context) -> None:
    context.expect(bottoms=MANY)
    params = context.params("concat_param")
    params.ignore("engine", "per_fla_fuse")
    context.emit(Concat(_axis(context, params, "concat_dim")))


@caffe_layer("Slice")
def slices(context: Context) -> None:
    context.expect(tops=MANY)
    params = context.params("slice_param")
    axis = _axis(context, params, "slice_dim")
    points = params.integers("slice_point")
    if points and len(points) != len(context.tops) - 1:
        raise ParseError(f"{len(points)} slice points for {len(context.tops)} tops")
    context.emit(Slice(len(context.tops), axis, points))


def _axis(context: Context, params: Params, legacy: str) -> int:
    """`axis`, or its older name, never both."""
    if legacy in params:
        if "axis" in params:
            raise ParseError(f"has both axis and {legacy}", remedy="give only one")
        return canonical_axis(params.integer(legacy), len(context.shape))
    return canonical_axis(params.integer("axis", 1), len(context.shape))


@caffe_layer("Split")
def split(context: Context) -> None:
    context.expect(tops=MANY)
    context.refuse_in_place()
    context.emit(Identity(len(context.tops)))


@caffe_layer("Dropout")
def dropout(context: Context) -> None:
    """The identity at test time, except where a fork scales then instead of in training."""
    context.expect()
    params = context.params("dropout_param")
    params.ignore("dropout_ratio", "engine", "random_seed")
    if not params.boolean("scale_train", True):
        context.emit(Power(scale=1.0 - params.real("dropout_ratio", 0.5)))
        return
    context.emit(Identity())


@caffe_layer("Flatten")
def flatten(context: Context) -> None:
    context.expect()
    context.refuse_in_place()
    params = context.params("flatten_param")
    rank = len(context.shape)
    axis = canonical_axis(params.integer("axis", 1), rank)
    end = canonical_axis(params.integer("end_axis", -1), rank)
    if end == axis - 1:  # no axes become one of size 1
        context.emit(Reshape((1,), axis, 0))
    else:
        context.emit(Flatten(axis, end))


@caffe_layer("Reshape")
def reshape(context: Context) -> None:
    context.expect()
    context.refuse_in_place()
    params = context.params("reshape_param")
    dims = params.part("shape").integers("dim")
    context.emit(Reshape(dims, params.integer("axis", 0), params.integer("num_axes", -1)))


@caffe_layer("Tile")
def tile(context: Context) -> None:
    context.expect()
    params = context.params("tile_param")
    axis = canonical_axis(params.integer("axis", 1), len(context.shape))
    if "tiles" not in params:
        raise ParseError("has no tiles", remedy="say how many")
    tiles, rank = params.integer("tiles"), len(context.shape)
    if tiles < 1:
        raise ParseError(f"tiles must be positive, found {tiles}")
    times = Expand((*(0,) * axis, tiles, *(0,) * (rank - axis)))
    context.chain(Reshape((1,), axis, 0), times, Flatten(axis, axis + 1))


def nearest(context: Context, height: int, width: int) -> None:
    """Every pixel `height` times downwards and `width` times to the right."""
    if len(context.shape) != 4:
        raise ShapeError(f"expected a 4-D bottom, found shape {context.shape}")
    apart = Reshape((1,), axis=3, num_axes=0), Reshape((1,), axis=5, num_axes=0)
    context.chain(*apart, Expand((0, 0, 0, height, 0, width)), Flatten(2, 3), Flatten(3, 4))


@caffe_layer("Permute")
def permute(context: Context) -> None:
    context.expect()
    context.emit(Permute(context.params("permute_param").integers("order")))


@caffe_layer("Crop")
def crop(context: Context) -> None:
    context.expect(bottoms=2)
    params = context.params("crop_param")
    offsets = params.integers("offset")
    if offsets and min(offsets) < 0:
        raise ParseError(f"offset {min(offsets)} must not be negative")
    context.emit(Crop(params.integer("axis", 2), offsets))
