"""What calibration collects, once, for every method: histograms of float patterns.

A value's bin is the top 16 bits of its float32 pattern (sign, exponent, 7 bits of mantissa), so no
range has to be known beforehand and the relative resolution is 2^-7 everywhere. All state is
integers, minima and maxima: it merges exactly, in any order and grouping.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.errors import DataError
from demitasse.quantizer.files import npz_bytes, read_file

BINS = 1 << 16
INF, NAN, SIGN = 0x7F80, 0x7FC0, 0x8000
CHUNK = 1 << 18  # elements binned at a time: stays in the cache
SMALL = 1 << 14  # below it, a pass over all 65,536 counters would cost more than the values
VERSION = 1


@dataclass(eq=False)
class TensorStatistics:
    """One tensor's values over all samples.

    counts: int64 (65536,), values per bin; NaN, +Inf and -Inf have the bins 0x7FC0, 0x7F80, 0xFF80.
    low, high: float32 (C,), smallest and largest finite value of each channel (+Inf, -Inf: none).
    whole, fraction: int64 (C,), the sum over samples of the channel's mean, each rounded to a
    multiple of 2^-32 and split in its integer part and the rest in units of 2^-32.
    samples: int64 (C,), how many samples had a finite value there.
    """

    counts: np.ndarray
    low: np.ndarray
    high: np.ndarray
    whole: np.ndarray
    fraction: np.ndarray
    samples: np.ndarray

    @classmethod
    def empty(cls, channels: int) -> TensorStatistics:
        """No values yet."""
        integers = [np.zeros(n, np.int64) for n in (BINS, channels, channels, channels)]
        low = np.full(channels, np.inf, np.float32)
        return cls(integers[0], low, -low, *integers[1:])

    @property
    def channels(self) -> int:
        return len(self.low)

    @property
    def mean(self) -> np.ndarray:
        """float64 (C,): mean over samples of the channel's mean; 0 where there is no value."""
        total = self.whole + self.fraction * 2.0**-32
        return total / np.maximum(self.samples, 1)

    @property
    def min(self) -> float:
        """Smallest finite value; 0 where there is none."""
        return float(self.low.min()) if self.samples.any() else 0.0

    @property
    def max(self) -> float:
        """Largest finite value; 0 where there is none."""
        return float(self.high.max()) if self.samples.any() else 0.0

    @property
    def total(self) -> int:
        """Number of values, the not finite ones included."""
        return int(self.counts.sum())

    @property
    def zeros(self) -> int:
        """Number of zeros (and of values below 1e-40, which share their bins)."""
        return int(self.counts[0] + self.counts[SIGN])

    @property
    def not_finite(self) -> int:
        """Number of NaN and infinite values."""
        return int(self.counts[[NAN, INF, SIGN | INF]].sum())

    def update(self, x: np.ndarray) -> None:
        """Add the values of one or more samples: float32 (N, C, ...), N samples."""
        x = np.ascontiguousarray(x, np.float32)
        found = count_patterns(x.reshape(-1))
        self.counts += found
        rows = x.reshape(x.shape[0], self.channels, -1)
        if found[[NAN, INF, SIGN | INF]].any():
            self._update_channels(rows, np.isfinite(rows))
        elif rows.size:
            np.minimum(self.low, rows.min((0, 2)), out=self.low)
            np.maximum(self.high, rows.max((0, 2)), out=self.high)
            self._add_means(_row_sums(rows) / rows.shape[2], np.ones(rows.shape[:2], bool))

    def _update_channels(self, rows: np.ndarray, finite: np.ndarray) -> None:
        """The same, leaving out what is not finite."""
        with_inf = np.where(finite, rows, np.float32(np.inf))
        np.minimum(self.low, with_inf.min((0, 2)), out=self.low)
        np.maximum(
            self.high, -np.where(finite, -rows, np.float32(np.inf)).min((0, 2)), out=self.high
        )
        number = finite.sum(2)
        sums = _row_sums(np.where(finite, rows, np.float32(0)))
        self._add_means(sums / np.maximum(number, 1), number > 0)

    def _add_means(self, means: np.ndarray, valid: np.ndarray) -> None:
        """Add float64 (N, C) means as integers. float32 may exceed int64: those saturate."""
        whole = np.floor(means)
        self.fraction += np.rint((means - whole) * 2.0**32).astype(np.int64).sum(0)
        self.whole += np.clip(whole, -(2.0**46), 2.0**46).astype(np.int64).sum(0)
        self.samples += valid.sum(0)

    def merge(self, other: TensorStatistics) -> TensorStatistics:
        """Both together. Exact: any order and grouping gives the same."""
        return TensorStatistics(
            self.counts + other.counts,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.whole + other.whole,
            self.fraction + other.fraction,
            self.samples + other.samples,
        )


def count_patterns(values: np.ndarray) -> np.ndarray:
    """int64 (65536,) histogram of contiguous float32 (n,) by the top 16 bits of the pattern."""
    patterns = values.view(np.uint32)
    counts = np.zeros(BINS, np.int64)
    if len(values) <= SMALL:
        np.add.at(counts, (patterns >> 16).astype(np.intp), 1)
    else:
        for i in range(0, len(values), CHUNK):
            counts += np.bincount(patterns[i : i + CHUNK] >> 16, minlength=BINS)
    if counts[INF:SIGN].any() or counts[SIGN | INF :].any():
        # The top bits alone do not tell some NaNs from infinity.
        counts[INF:SIGN] = counts[SIGN | INF :] = 0
        counts[NAN] = np.isnan(values).sum()
        counts[INF] = (values == np.inf).sum()
        counts[SIGN | INF] = (values == -np.inf).sum()
    return counts


def _row_sums(rows: np.ndarray) -> np.ndarray:
    """float64 (N, C) sums of (N, C, n), one sample at a time: the same in batches of any size."""
    return np.stack([sample.astype(np.float64).sum(1) for sample in rows])


@dataclass(eq=False)
class Statistics:
    """All tensors of one network over some samples.

    samples: the ids seen, ascending, of each data source (by its fingerprint).
    context: what has to agree before statistics may be merged, e.g. model and preprocessing.
    halves: the same of two halves of the samples, where they were just collected; no file has it.
    """

    tensors: dict[str, TensorStatistics] = field(default_factory=dict)
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    halves: tuple[Statistics, ...] = ()

    @property
    def count(self) -> int:
        """Number of samples."""
        return sum(len(ids) for ids in self.samples.values())

    def update(self, name: str, x: np.ndarray) -> None:
        """Add one tensor's values, float32 (N, C, ...); rank 1 counts as one channel."""
        x = x.reshape(-1, 1) if x.ndim < 2 else x
        if name not in self.tensors:
            self.tensors[name] = TensorStatistics.empty(x.shape[1])
        self.tensors[name].update(x)

    def hash(self) -> str:
        """sha256 of the file's bytes, in hex."""
        return hashlib.sha256(to_bytes(self)).hexdigest()


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Both together; bit for bit the same in any order. DataError where they do not belong so."""
    if a.context != b.context:
        keys = sorted(k for k in {**a.context, **b.context} if a.context.get(k) != b.context.get(k))
        raise DataError(
            f"statistics differ in {', '.join(keys)}",
            remedy="merge only parts of one calibration: same model, same preprocessing",
        )
    tensors = a.tensors.keys() & b.tensors.keys()
    odd = sorted((a.tensors.keys() | b.tensors.keys()) - tensors)
    odd += [n for n in sorted(tensors) if a.tensors[n].channels != b.tensors[n].channels]
    if odd:
        raise DataError(f"statistics are of different networks: tensor '{odd[0]}' differs")
    samples = dict(a.samples)
    for source, ids in b.samples.items():
        both = np.intersect1d(samples.get(source, ids[:0]), ids)
        if len(both):
            raise DataError(
                f"{len(both)} samples are in both statistics, the first is number {both[0]}",
                remedy="merge each shard once",
            )
        samples[source] = np.union1d(samples.get(source, ids[:0]), ids)
    merged = {n: a.tensors[n].merge(b.tensors[n]) for n in sorted(tensors)}
    return Statistics(merged, samples, a.context)


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """Merge one or more statistics."""
    iterator = iter(parts)
    result = next(iterator, None)
    if result is None:
        raise DataError("there are no statistics to merge")
    for part in iterator:
        result = merge(result, part)
    return result


# The file: an uncompressed npz of few arrays, with fixed dates, so that equal statistics are equal
# files. Histograms are sparse; tensors lie one after the other, divided by the offsets.
_ARRAYS = {
    "bins": np.uint16,
    "counts": np.int64,
    "bin_offsets": np.int64,
    "channel_offsets": np.int64,
    "low": np.float32,
    "high": np.float32,
    "whole": np.int64,
    "fraction": np.int64,
    "samples": np.int64,
    "ids": np.int64,
    "id_offsets": np.int64,
}


def to_bytes(stats: Statistics) -> bytes:
    """The content of a `.dstat` file."""
    names = sorted(stats.tensors)
    tensors = [stats.tensors[name] for name in names]
    sources = sorted(stats.samples)
    header = {"version": VERSION, "names": names, "sources": sources, "context": stats.context}
    used = [np.flatnonzero(t.counts) for t in tensors]
    ids = [stats.samples[s] for s in sources]
    parts: dict[str, list[np.ndarray]] = {
        "bins": used,
        "counts": [t.counts[u] for t, u in zip(tensors, used, strict=True)],
        "bin_offsets": [_offsets(used)],
        "channel_offsets": [_offsets([t.low for t in tensors])],
        **{k: [getattr(t, k) for t in tensors] for k in ("low", "high", "whole", "fraction")},
        "samples": [t.samples for t in tensors],
        "ids": ids,
        "id_offsets": [_offsets(ids)],
    }
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    arrays = {"header": np.frombuffer(text, np.uint8)}
    for key, dtype in _ARRAYS.items():
        arrays[key] = np.concatenate([np.empty(0, dtype), *parts[key]]).astype(
            f"<{dtype().dtype.str[1:]}"
        )
    return npz_bytes(arrays)


def from_bytes(data: bytes, path: Path | None = None) -> Statistics:
    """Read the content of a `.dstat` file. DataError names `path` where it is damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            arrays = {
                key: file[key].astype(dtype, casting="equiv") for key, dtype in _ARRAYS.items()
            }
        if header["version"] != VERSION:
            raise DataError(f"is of version {header['version']}, not {VERSION}", file=path)
        return _unpack(header, arrays)
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
    ) as e:
        raise DataError(
            f"is no statistics file, or damaged ({type(e).__name__}: {e})",
            file=path,
            remedy="make it with `demitasse calibrate ... -o FILE.dstat`",
        ) from e


def _unpack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Statistics:
    stats = Statistics(context=header["context"])
    channels, bins = arrays["channel_offsets"], arrays["bin_offsets"]
    for i, name in enumerate(header["names"]):
        c, b = slice(channels[i], channels[i + 1]), slice(bins[i], bins[i + 1])
        counts = np.zeros(BINS, np.int64)
        counts[arrays["bins"][b]] = arrays["counts"][b]
        rest = (arrays[k][c] for k in ("low", "high", "whole", "fraction", "samples"))
        stats.tensors[name] = TensorStatistics(counts, *rest)
    offsets = arrays["id_offsets"]
    for i, source in enumerate(header["sources"]):
        stats.samples[source] = arrays["ids"][offsets[i] : offsets[i + 1]]
    return stats


def save(stats: Statistics, path: Path) -> None:
    """Write a `.dstat` file."""
    write_whole(path, [to_bytes(stats)])


def load(path: Path) -> Statistics:
    """Read a `.dstat` file. DataError names it where it is missing or damaged."""
    return from_bytes(read_file(path), path)


def _offsets(arrays: list[np.ndarray]) -> np.ndarray:
    return np.cumsum([0, *(len(a) for a in arrays)])
