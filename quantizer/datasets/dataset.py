"""A dataset: numbered samples of one kind, perhaps with labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

Kind = Literal["image", "blob"]


class Source(Protocol):
    """Where samples come from. Pickles cheaply where it stands for a file (worker processes)."""

    @property
    def kind(self) -> Kind: ...

    @property
    def identity(self) -> str:
        """What makes two sources the same on any machine: names and shapes, no folders."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: int) -> np.ndarray: ...

    def name(self, index: int) -> str: ...


@dataclass(frozen=True, eq=False)
class Sample:
    """One image or blob.

    kind 'image': data is uint8 (H, W, C), C = 1 (gray) or 3 (RGB).
    kind 'blob': data is float32, what the network's input holds for one sample: usually (C, H, W).
    id is the sample's number in its source, whatever subset it was taken from.
    """

    kind: Kind
    data: np.ndarray
    id: int
    name: str
    label: int | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Some samples of a source, in ascending order of their ids; labels follow the source."""

    source: Source
    ids: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(i) for i in range(len(self)))

    @property
    def kind(self) -> Kind:
        return self.source.kind

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the source, not the subset; the same on every machine."""
        return hashlib.sha256(self.source.identity.encode()).hexdigest()[:16]

    def sample(self, i: int) -> Sample:
        """Load the i-th sample. DataError names the file where it cannot be read."""
        index = int(self.ids[i])
        label = None if self.labels is None else int(self.labels[index])
        source = self.source
        return Sample(source.kind, source.load(index), index, source.name(index), label)

    def select(self, positions: Sequence[int] | np.ndarray | slice) -> Dataset:
        """The samples at these positions, e.g. `select(slice(1000, None))`."""
        return replace(self, ids=np.sort(self.ids[positions]))

    def subset(self, count: int, seed: int = 0) -> Dataset:
        """`count` samples chosen by a hash of seed and id: the same ones everywhere, always.

        A larger count contains the smaller one's samples. All of them where there are too few.
        """
        if count >= len(self):
            return self

        def rank(position: int) -> bytes:
            key = f"{seed}:{self.ids[position]}".encode()
            return hashlib.blake2b(key, digest_size=16).digest()

        return self.select(sorted(range(len(self)), key=rank)[:count])
