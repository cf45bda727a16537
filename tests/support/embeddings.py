"""How well embeddings tell people apart."""

from __future__ import annotations

import numpy as np


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(1) / norms)


def likeness(embeddings: np.ndarray) -> np.ndarray:
    """The cosine of each two."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def rank_1(embeddings: np.ndarray, people: np.ndarray) -> float:
    """Share of faces whose nearest other face is of the same person, in percent."""
    alike = likeness(embeddings)
    np.fill_diagonal(alike, -2)
    return 100 * float((people[alike.argmax(1)] == people).mean())


def verification(embeddings: np.ndarray, people: np.ndarray) -> float:
    """Mean of the shares of pairs of one person and of two that the best threshold tells, in
    percent."""
    first, second = np.triu_indices(len(people), 1)
    alike, same = likeness(embeddings)[first, second], people[first] == people[second]
    own, others = np.sort(alike[same]), np.sort(alike[~same])
    thresholds = np.concatenate([own, others])
    accepted = 1 - np.searchsorted(own, thresholds) / len(own)
    refused = np.searchsorted(others, thresholds) / len(others)
    return 50 * float((accepted + refused).max())
