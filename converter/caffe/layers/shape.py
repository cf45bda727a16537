"""Layers that move values without computing."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.caffe.text import Message
from demitasse.converter.caffe.wiring import SHARED
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
from demitasse.errors import ParseError, ShapeError, UnsupportedError

MANY = range(1, 1 << 20)
MAX_RANK = 6  # the runtime's
WINDOW = ("crop_h", "crop_w", "offset_h", "offset_w", "center_crop", "type")  # forks' crops


@caffe_layer("Concat")
def concat(context: Context) -> None:
    context.expect(bottoms=MANY)
    params = context.params("concat_param")
    params.ignore("engine", "per_fla_fuse")
    context.emit(Concat(_axis(context, params, "concat_dim")))


@caffe_layer("Slice")
def slices(context: Context) -> None:
    context.expect(tops=MANY)
    if len(context.tops) > 1:
        context.refuse_in_place()
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


@caffe_layer(SHARED)
def shared_memory(context: Context) -> None:
    """The first bottom in the shape of the second, whose memory it has taken (`wiring`)."""
    context.expect(bottoms=2)
    context.emit(Reshape((-1, *context.shapes[1][1:])), inputs=context.bottoms[:1])


@caffe_layer("SpatialDropout")
def spatial_dropout(context: Context) -> None:
    """The identity at test time."""
    context.expect()
    context.params("spatial_dropout_param").ignore("dropout_ratio")
    context.emit(Identity())


@caffe_layer("Dropout")
def dropout(context: Context) -> None:
    """The identity at test time, except where a fork scales then instead of in training."""
    context.expect()
    params = context.params("dropout_param")
    params.ignore("dropout_ratio", "engine", "random_seed")
    if params.boolean("sample_weights_test", False):
        context.remark("nothing is dropped at test time, though sample_weights_test is on")
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
    if params.integer("pixelshuffler", 1) != 1:
        raise UnsupportedError("a Reshape that shuffles pixels is not supported")
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
    if rank == MAX_RANK:  # no room for an axis more
        context.emit(Concat(axis), inputs=context.bottoms * tiles)
        return
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


@caffe_layer("Transpose")
def transpose(context: Context) -> None:
    """A fork's Permute, which names every axis."""
    context.expect()
    params = context.params("transpose_param")
    nested = context.layer.param("transpose_param")
    is_shape = nested is not None and any(isinstance(f.value, Message) for f in nested.all("dim"))
    order = params.part("dim").integers("dim") if is_shape else params.integers("dim")
    if sorted(order) != list(range(len(context.shape))):
        raise ParseError(f"dim {order} does not name the axes of shape {context.shape}")
    context.emit(Permute(order))


@caffe_layer("Unsqueeze")
def unsqueeze(context: Context) -> None:
    """A fork's layer: one more axis, of one element."""
    context.expect()
    params = context.params("unsqueeze_param")
    name = "dim" if "dim" in params else "axis"
    if name not in params:
        raise ParseError("has no dim")
    context.emit(Reshape((1,), params.integer(name), 0))


@caffe_layer("Crop")
def crop(context: Context) -> None:
    params = context.params("crop_param")
    if any(name in params for name in WINDOW):
        _window(context, params)
        return
    context.expect(bottoms=2)
    offsets = params.integers("offset")
    if offsets and min(offsets) < 0:
        raise ParseError(f"offset {min(offsets)} must not be negative")
    context.emit(Crop(params.integer("axis", 2), offsets))


def _window(context: Context, params: Params) -> None:
    """Forks' crop of an image: to a size or to that of a second bottom, from an offset or the
    centre."""
    context.expect(bottoms=range(1, 3))
    params.ignore("num_args", "print_info")
    if any(len(shape) != 4 for shape in context.shapes):
        raise ShapeError(f"expected 4-D bottoms, found shapes {context.shapes}")
    height, width = context.shapes[-1][2:]
    size = params.integer("crop_h") or height, params.integer("crop_w") or width
    centre = params.boolean("center_crop", False)
    if "type" in params:
        centre = params.symbol("type", {"CENTER": 0}, "CENTER") == "CENTER"
    x = context.bottoms[0]
    for axis, length, name in ((2, size[0], "offset_h"), (3, size[1], "offset_w")):
        first = params.integer(name)
        if centre:
            first = (context.shape[axis] - length) // 2
        x = cut(context, x, axis, first, first + length)
    context.emit(Identity(), inputs=[x])


def cut(context: Context, x: str, axis: int, begin: int, end: int) -> str:
    """Elements begin ... end - 1 along an axis."""
    length = context.shape_of(x)[axis]
    if not 0 <= begin < end <= length:
        raise ShapeError(f"cannot cut {begin} to {end} out of an axis of {length}")
    points = [point for point in (begin, end) if 0 < point < length]
    if not points:
        return x
    parts = [context.internal("part") for _ in range(len(points) + 1)]
    context.emit(Slice(len(parts), axis, tuple(points)), inputs=[x], outputs=parts)
    return parts[1 if begin else 0]
