"""The byte sections that records point into: per-channel arrays and packed weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demitasse.converter.flat.format import ALIGN, LANES, round_up

QUAD = 4  # outputs that packing 5 puts side by side
CHUNK = 16  # inputs of one of them, the last chunk of a row having half as many
FOUR_BITS = {0: 3, 5: 4}  # packing ids of weights that take four bits, by those of whole ones


@dataclass
class Blobs:
    """A growing section of 64-byte aligned blobs; equal blobs are stored once."""

    data: bytearray = field(default_factory=bytearray)
    known: dict[bytes, int] = field(default_factory=dict)

    def add(self, blob: bytes) -> int:
        """Offset of the blob in the section."""
        if blob not in self.known:
            self.data.extend(bytes(round_up(len(self.data), ALIGN) - len(self.data)))
            self.known[blob] = len(self.data)
            self.data.extend(blob)
        return self.known[blob]


@dataclass
class Sections:
    """CHAN and DATA of one file."""

    chan: Blobs = field(default_factory=Blobs)
    data: Blobs = field(default_factory=Blobs)

    def arrays(self, arrays: list[np.ndarray], count: int) -> int:
        """Offset in CHAN of 4-byte arrays of `count` words each, one behind the other.

        One value stands for all; every array is padded with zeros to a multiple of 8 words.
        """
        words = round_up(count, LANES)
        block = b""
        for array in arrays:
            row = np.zeros(words, array.dtype.newbyteorder("<"))
            row[:count] = array.ravel()
            assert row.itemsize == 4, array.dtype
            block += row.tobytes()
        return self.chan.add(block)

    def tensor(self, array: np.ndarray) -> int:
        """Offset in DATA of an array's little-endian bytes."""
        return self.data.add(array.astype(array.dtype.newbyteorder("<")).tobytes())


def packing_of(taps_inputs: int, outputs: int, groups: int, dtype: str) -> int:
    """The packing id for `taps_inputs` channels a group and `outputs` channels in all.

    FORMAT.md, CONV: 2 for depthwise, 1 (int8: 5) where a group fills its lanes, else 0.
    """
    if taps_inputs == 1 and groups > 1:
        return 2
    dots = dtype == "int8"
    if groups > 1 and outputs // groups < (QUAD if dots else LANES):
        return 0
    return 5 if dots else 1


def dot_rows(taps: int, inputs: int) -> tuple[int, int]:
    """Packing 5: how many rows an output's weights form, and how long each is with its zeros."""
    rows, run = (taps, inputs) if inputs >= LANES else (1, taps * inputs)
    return rows, round_up(run, LANES)


def pack_halves(weight: np.ndarray) -> np.ndarray:
    """Four bits of each of the flat weights, two in a byte, the first in the low half."""
    assert np.abs(weight.astype(np.int16)).max(initial=0) <= 7
    halves = np.zeros(round_up(weight.size, 2), np.uint8)
    halves[: weight.size] = weight.astype(np.int8).view(np.uint8) & 15
    return np.asarray(halves[::2] | halves[1::2] << 4, np.uint8)


def pack(weight: np.ndarray, groups: int, packing: int) -> np.ndarray:
    """Weights (O, kh, kw, I / groups) in the order of FORMAT.md's packing id, flat."""
    if packing == 0:
        return weight.ravel()
    outputs, kh, kw, inputs = weight.shape
    if packing == 2:
        lanes = np.zeros((kh, kw, round_up(outputs, LANES)), weight.dtype)
        lanes[..., :outputs] = weight[..., 0].transpose(1, 2, 0)
        return lanes.ravel()
    if packing == 5:
        return _pack_dots(weight, groups)
    per_group = outputs // groups
    padded = np.zeros((groups, round_up(per_group, LANES), kh, kw, inputs), weight.dtype)
    padded[:, :per_group] = weight.reshape(groups, per_group, kh, kw, inputs)
    blocks = padded.reshape(groups, -1, LANES, kh, kw, inputs)
    return blocks.transpose(0, 1, 3, 4, 5, 2).ravel()


def _pack_dots(weight: np.ndarray, groups: int) -> np.ndarray:
    outputs, kh, kw, inputs = weight.shape
    rows, run = dot_rows(kh * kw, inputs)
    per_group, used = outputs // groups, kh * kw * inputs // rows
    padded = np.zeros((groups, round_up(per_group, QUAD), rows, run), weight.dtype)
    padded[:, :per_group, :, :used] = weight.reshape(groups, per_group, rows, used)
    quads = padded.reshape(-1, QUAD, rows, run).transpose(0, 2, 1, 3)
    whole = run // CHUNK * CHUNK
    chunks = quads[..., :whole].reshape(*quads.shape[:3], -1, CHUNK).transpose(0, 1, 3, 2, 4)
    parts = [part.reshape(*quads.shape[:2], -1) for part in (chunks, quads[..., whole:])]
    return np.concatenate(parts, axis=2).ravel()
