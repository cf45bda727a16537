"""How well embeddings tell identities apart: of a quantized network beside its float one.

Two samples are taken for one identity where the cosine of their embeddings exceeds a threshold.
FAR is the share of pairs of two identities that pass it, TAR that of pairs of one. A FAR is only
measured where there are enough pairs of two identities for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demitasse.errors import DataError

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True, slots=True)
class Operating:
    """One FAR: threshold and TAR of the quantized network, and of the float one.

    shift: what has to be added to float's threshold to keep the FAR. kept_tar, kept_far: of the
    quantized network if it keeps float's threshold.
    """

    far: float
    threshold: float
    tar: float
    float_threshold: float
    float_tar: float
    shift: float
    kept_tar: float
    kept_far: float


@dataclass(frozen=True, slots=True)
class Verification:
    """genuine, impostor: pairs of one and of two identities; points by falling FAR."""

    output: str
    genuine: int
    impostor: int
    points: tuple[Operating, ...]

    @property
    def lost(self) -> float:
        """The most points of TAR lost at any FAR."""
        return max((100 * (point.float_tar - point.tar) for point in self.points), default=0.0)


def verify(
    output: str, found: np.ndarray, expected: np.ndarray, identities: np.ndarray
) -> Verification:
    """Compare embeddings (N, D), quantized and float, of samples with these identities (N,).

    Takes about 8 N**2 bytes. Raises DataError where no two samples share or differ in identity.
    """
    first, second = np.triu_indices(len(identities), 1)
    same = identities[first] == identities[second]
    if same.all() or not same.any():
        raise DataError(
            "the labels give no pairs of one identity and of two",
            remedy="label each image with a number for whom it shows",
        )
    mine, floats = (cosines(x)[first, second] for x in (found, expected))
    impostor = int(np.count_nonzero(~same))
    points = [
        _operating(far, mine, floats, same) for far in FARS if int(far * impostor + 1e-9) >= 1
    ]
    return Verification(output, int(np.count_nonzero(same)), impostor, tuple(points))


def cosines(embeddings: np.ndarray) -> np.ndarray:
    """float32 (N, N): the cosine of every two rows; 0 with a row of zeros."""
    rows = np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0, norms, 1.0)
    return (unit @ unit.T).astype(np.float32)


def _operating(far: float, mine: np.ndarray, floats: np.ndarray, same: np.ndarray) -> Operating:
    threshold, float_threshold = (_threshold(x[~same], far) for x in (mine, floats))
    return Operating(
        far,
        threshold,
        _share(mine[same], threshold),
        float_threshold,
        _share(floats[same], float_threshold),
        threshold - float_threshold,
        _share(mine[same], float_threshold),
        _share(mine[~same], float_threshold),
    )


def _threshold(impostors: np.ndarray, far: float) -> float:
    """The least similarity that at most a share of `far` of the impostors exceed."""
    allowed = int(far * len(impostors) + 1e-9)
    at = len(impostors) - 1 - allowed
    return float(np.partition(impostors, at)[at])


def _share(similarities: np.ndarray, threshold: float) -> float:
    return float(np.count_nonzero(similarities > np.float32(threshold)) / len(similarities))
