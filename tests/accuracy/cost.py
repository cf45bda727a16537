"""What calibration costs one core of this machine: `PYTHONPATH=tests python -m accuracy.cost`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import build_table
from demitasse.quantizer.thresholds import METHODS

# Channels and size of the blobs of MobileNet on a picture of 224x224, alternating.
BLOBS = [(3, 224), (32, 112), (32, 112), (64, 112), (64, 56), (128, 56), (128, 56), (128, 56)]
BLOBS += [(128, 28), (256, 28), (256, 28), (256, 28), (256, 14), *([(512, 14)] * 10)]
BLOBS += [(512, 7), *([(1024, 7)] * 3), (1024, 1), (1000, 1)]
TENSORS = 100
ROUNDS = 7  # of which the shortest counts, since other work on the machine only adds to them


def costs() -> list[tuple[str, str]]:
    """What was measured, and the figure."""
    rng = np.random.default_rng(0)
    blobs = [
        np.maximum(rng.normal(size=(1, channels, size, size)), 0).astype(np.float32)
        for channels, size in BLOBS
    ]
    stats = Statistics()
    seconds = sum(
        _shortest(lambda name=str(i), blob=blob: stats.update(name, blob))
        for i, blob in enumerate(blobs)
    )
    speed = sum(blob.size for blob in blobs) / seconds / 1e6
    found = [("statistics of MobileNet's blobs, million elements a second", f"{speed:.0f}")]
    many = Statistics()
    for i in range(TENSORS):
        values = rng.normal(size=(4, 16, 40, 40)).astype(np.float32) * rng.uniform(0.1, 10)
        many.update(str(i), np.maximum(values, 0) if i % 2 else values)
    for method in sorted(METHODS):
        seconds = _shortest(lambda method=method: build_table(many, method=method), 3)
        found.append((f"thresholds of {TENSORS} tensors by {method}, seconds", f"{seconds:.2f}"))
    return found


def _shortest(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Of the processor's time, in seconds."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


if __name__ == "__main__":
    for what, figure in costs():
        print(f"{what}: {figure}")
    sys.exit(0)
