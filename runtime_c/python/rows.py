"""Outputs with as many rows as a run finds: detections (image, label, score, box)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def join_rows(samples: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of all samples, each (1, 1, n, 7), as Caffe gives them for a batch.

    Column 0 becomes the number of the sample. A sample that found nothing, one row of label -1, has
    no rows, unless none found anything.
    """
    numbered = [np.array(rows) for rows in samples]
    for i, rows in enumerate(numbered):
        rows[..., 0] += i
    found = [rows for rows in numbered if rows.shape[2] and rows[0, 0, 0, 1] != -1]
    return np.concatenate(found or numbered, axis=2)
