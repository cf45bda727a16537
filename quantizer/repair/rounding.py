"""Round weights so that the errors of a layer's products cancel.

Rounding every weight to the nearest code ignores that inputs go together. With d the errors of an
output channel's weights and H the second moments of the inputs of its products, the channel's
squared error is d H d. Columns are rounded one after the other, those of the loudest inputs first,
and the error of each is made up for by those that are still free: Frantar et al., "Optimal brain
compression" (2022) and "GPTQ" (2022), without data of weights, only of H.
"""

from __future__ import annotations

import numpy as np

DAMPING = 0.01  # of the mean of H's diagonal; also where there are fewer patches than weights
BLOCK = 128  # columns after which the others learn of the errors


def round_adaptively(steps: np.ndarray, moments: np.ndarray, limit: int) -> np.ndarray:
    """Codes (G, O, K), float64, of weights in units of their channel's scale.

    steps: (G, O, K). moments: H, (G, K, K). A channel keeps its nearest codes where those found
    have no smaller error.
    """
    nearest = _nearest(steps, limit)
    damped = _damped(moments)
    order = np.argsort(-np.diagonal(damped, axis1=1, axis2=2), axis=1, kind="stable")
    shuffled = np.take_along_axis(damped, order[:, :, None], 1)
    shuffled = np.take_along_axis(shuffled, order[:, None, :], 2)
    upper = _inverse_root(shuffled)
    wanted = np.take_along_axis(steps, order[:, None, :], 2)
    back = np.argsort(order, axis=1)
    codes = np.take_along_axis(_forward(wanted, upper, limit), back[:, None, :], 2)
    better = errors(codes - steps, moments) < errors(nearest - steps, moments)
    return np.where(better[..., None], codes, nearest)


def errors(difference: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """d H d of every output channel, (G, O)."""
    return np.asarray(np.einsum("gok,gok->go", difference @ moments, difference))


def _forward(wanted: np.ndarray, upper: np.ndarray, limit: int) -> np.ndarray:
    """Codes of the columns in order, each error passed on to the columns behind."""
    codes = np.empty_like(wanted)
    rest = wanted.copy()
    count = wanted.shape[2]
    for first in range(0, count, BLOCK):
        past = min(first + BLOCK, count)
        passed = np.empty((*wanted.shape[:2], past - first))
        for k in range(first, past):
            codes[..., k] = _nearest(rest[..., k], limit)
            error = (rest[..., k] - codes[..., k]) / upper[:, None, k, k]
            rest[..., k + 1 : past] -= error[..., None] * upper[:, None, k, k + 1 : past]
            passed[..., k - first] = error
        rest[..., past:] -= passed @ upper[:, first:past, past:]
    return codes


def _nearest(steps: np.ndarray, limit: int) -> np.ndarray:
    return np.asarray(np.clip(np.floor(steps + 0.5), -limit, limit))


def _damped(moments: np.ndarray) -> np.ndarray:
    """H with a little more on its diagonal; the identity where all is 0."""
    count = moments.shape[1]
    typical = np.trace(moments, axis1=1, axis2=2) / count
    typical = np.where(typical > 0, typical, 1.0) * DAMPING
    return np.asarray(moments + typical[:, None, None] * np.eye(count))


def _inverse_root(moments: np.ndarray) -> np.ndarray:
    """U, upper triangular, with U^T U the inverse."""
    inverse = np.linalg.inv(moments)
    inverse = (inverse + inverse.swapaxes(1, 2)) / 2
    return np.linalg.cholesky(inverse).swapaxes(1, 2)
