"""Rounding differences as text: one signed byte per weight, in Caffe's order, zlib, base64."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np

MOST = 1 << 26  # weights of a layer; what a text may unpack to


def encode(differences: np.ndarray) -> str:
    """The text of int8 differences."""
    packed = zlib.compress(np.ascontiguousarray(differences, np.int8).tobytes(), 9)
    return base64.b64encode(packed).decode("ascii")


def decode(text: str) -> np.ndarray:
    """The int8 differences, flat. ValueError where the text is none, or too long."""
    unpack = zlib.decompressobj()
    try:
        raw = unpack.decompress(base64.b64decode(text, validate=True), MOST)
    except (binascii.Error, zlib.error, ValueError):
        raise ValueError("is no zlib in base64") from None
    if not unpack.eof or unpack.unused_data:
        raise ValueError("is cut short or too long")
    return np.frombuffer(raw, np.int8)
