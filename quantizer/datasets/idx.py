"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from demitasse.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(path: Path) -> bool:
    """True for a file that starts as an IDX file does (gzipped: anything gzipped)."""
    with path.open("rb") as file:
        head = file.read(4)
    return head[:2] == GZIP_MAGIC or (len(head) == 4 and head[:2] == b"\0\0" and head[2] in DTYPES)


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, in the machine's byte order."""
    data = path.read_bytes()
    if data[:2] == GZIP_MAGIC:
        data = gzip.decompress(data)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in DTYPES:
        raise DataError("is not an IDX file", file=path)
    dtype, rank = np.dtype(DTYPES[data[2]]), data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise DataError("is truncated in its header", file=path)
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", rank, 4))
    size = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(data) != size:
        raise DataError(f"is damaged: {size} bytes expected, {len(data)} found", file=path)
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
