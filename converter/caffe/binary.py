"""Read a network from a caffemodel alone: wire format to the tree that the text reader gives.

Caffe saves the layers' parameters beside the blobs. Names are given to their numbers by a dialect
(`protos/dialects`); from there on the net is read as a text would be. Without `--dialect` every
dialect is tried, and the one holds that leaves the least unexplained: unknown numbers, other wire
types, parameters that belong to another layer type, layer types that the fork does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from demitasse.converter.caffe import sniff
from demitasse.converter.caffe.decode import Decoding
from demitasse.converter.caffe.text import Field, Message, read_prototxt
from demitasse.converter.caffe.upgrade import Layer
from demitasse.converter.caffe.wire import open_caffemodel
from demitasse.errors import ParseError
from demitasse.protos.dialect import DIALECTS


@dataclass(frozen=True)
class Network:
    """What a file says of a net. `dialect` is None where all of them would have read the same as
    BVLC's; `guess` says which one was taken, and why."""

    message: Message
    dialect: str | None = None
    guess: str = ""
    binary: bool = False


def is_caffemodel(path: Path) -> bool:
    """Whether the file is binary data, judged by its content. Raises DemitasseError if unreadable,
    ParseError for HDF5, which holds weights but no network."""
    try:
        with path.open("rb") as file:
            kind = sniff.guess(file.read(4096))
    except OSError as error:
        raise sniff.unreadable(path, error) from None
    if kind == "an HDF5 file":
        raise ParseError(
            "an HDF5 file holds weights, but no network",
            file=path,
            remedy="give the prototxt first, and this file after it",
        )
    return kind == "binary data"


def read_network(path: Path, dialect_name: str | None = None) -> Network:
    """The net of a prototxt or of a caffemodel, told by the file's content.

    A saved net has followed its include and exclude rules, so they are gone from a caffemodel's,
    unless two layers make the same blob. Raises DemitasseError (ParseError) naming the file.
    """
    if not is_caffemodel(path):
        return Network(read_prototxt(path), dialect_name)
    data = open_caffemodel(path)
    reading = plain = Decoding(data, path, dialect_name or "bvlc")
    if dialect_name is None and plain.cost() > (0, 0):
        for name in DIALECTS[1:]:
            with suppress(ParseError):  # more fields than BVLC's reading has, and too many
                other = Decoding(data, path, name)
                reading = other if other.cost() < reading.cost() else reading
    found, guess = dialect_name, ""
    if reading.net != plain.net:
        found, guess = reading.dialect.name, _explain(plain, reading)
    if reading.damaged is not None:
        raise reading.damaged
    if reading.has_blobs and not (reading.has_parameters and reading.has_tops):
        raise ParseError(
            "the file holds weights, but not the layers' parameters",
            file=path,
            remedy="give the prototxt first, and this file after it",
        )
    return Network(_without_rules(reading.net), found, guess, binary=True)


def without_splits(layers: Iterable[Layer]) -> list[Layer]:
    """The layers as they were before Caffe put a Split wherever a blob has several readers."""
    origin: dict[str, str] = {}
    kept = []
    for layer in layers:
        bottoms = tuple(origin.get(blob, blob) for blob in layer.bottoms)
        if layer.type == "Split" and _is_inserted(layer):
            origin.update(dict.fromkeys(layer.tops, bottoms[0]))
        else:
            kept.append(replace(layer, bottoms=bottoms))
    return kept


def _is_inserted(layer: Layer) -> bool:
    names = tuple(f"{layer.name}_{index}" for index in range(len(layer.tops)))
    return len(layer.bottoms) == 1 and layer.name.endswith("_split") and layer.tops == names


def _explain(plain: Decoding, best: Decoding) -> str:
    """What the guess explains and BVLC does not: layer types first, single fields last."""
    solved = {
        **{key: text for key, text in plain.odd.items() if key not in best.odd},
        **{key: text for key, text in plain.odd_blobs.items() if key not in best.odd_blobs},
    }
    ranks = {"type": 0, "LayerParameter": 1, "V1LayerParameter": 1}
    reasons = sorted(solved, key=lambda key: ranks.get(str(key[0]), 2))
    said = ", ".join(solved[key] for key in reasons[:3])
    return f"read as dialect '{best.dialect.name}', guessed from {said}"


def _without_rules(net: Message) -> Message:
    made: set[str] = set()
    for field in net.all("layer") + net.all("layers"):
        layer = field.message()
        bottoms = {bottom.string() for bottom in layer.all("bottom")}
        tops = [top.string() for top in layer.all("top") if top.string() not in bottoms]
        if made.intersection(tops):
            return net
        made.update(tops)
    return replace(net, fields=tuple(_without_rule(field) for field in net.fields))


def _without_rule(field: Field) -> Field:
    if field.name not in ("layer", "layers"):
        return field
    layer = field.message()
    kept = tuple(f for f in layer.fields if f.name not in ("include", "exclude"))
    return replace(field, value=replace(layer, fields=kept))
