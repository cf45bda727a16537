"""Weights of a net, whatever they are stored in, found by layer name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from demitasse.converter.caffe import sniff
from demitasse.converter.caffe.hdf5 import read_hdf5
from demitasse.converter.caffe.wire import read_wire
from demitasse.converter.caffe.writer import WeightLayer
from demitasse.converter.graph import Shape


def read_weights(path: Path) -> list[WeightLayer]:
    """The layers of a caffemodel, told by its content: binary or HDF5.

    Raises DemitasseError (ParseError, WeightsError) naming file and layer.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(sniff.HDF5_MAGIC))
    except OSError as error:
        raise sniff.unreadable(path, error) from None
    return read_hdf5(path) if magic == sniff.HDF5_MAGIC else read_wire(path)


class Store:
    """Matches the layers of a text with those of a weight file: by name alone, as Caffe does.

    Where a name repeats in the text, its k-th layer with weights takes the file's k-th; where it
    repeats only in the file, the last one holds, since Caffe copies them in order.
    """

    def __init__(self, layers: Iterable[WeightLayer]) -> None:
        self._layers: dict[str, list[WeightLayer]] = defaultdict(list)
        for layer in layers:
            if layer.arrays:
                self._layers[layer.name].append(layer)
        self._asked: Counter[str] = Counter()

    def take(self, name: str, repeats: bool) -> WeightLayer | None:
        """The next layer of this name; `repeats` says that the text has several of it."""
        found = self._layers.get(name, [])
        if not repeats:
            return found[-1] if found else None
        index = self._asked[name]
        self._asked[name] += 1
        return found[index] if index < len(found) else None

    def has(self, name: str) -> bool:
        """Whether the file has a layer of this name with blobs."""
        return name in self._layers

    def shapes(self, name: str) -> list[Shape]:
        """The shapes of the blobs that the file has under this name."""
        layers = self._layers.get(name)
        return [array.shape for array in layers[-1].arrays] if layers else []

    def similar(self, name: str) -> str | None:
        """A name in the file that looks like this one."""
        return next(iter(get_close_matches(name, self._layers, 1, 0.8)), None)
