"""Feed hostile inputs for a while: whatever the input, an answer or a DemitasseError, soon, and in
memory bounded by the input's size."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

from demitasse.errors import DemitasseError, DemitasseWarning

FUZZERS = 12  # that share the time
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0")) / FUZZERS  # 0: a short, fixed slice
SLICE = 120  # inputs
ROUND = 200  # inputs between two looks at the clock

PATIENCE = 5.0  # seconds of processor time for an input, and per MB of it
ROOM = 256 << 20  # bytes of address space for an input
ROOM_PER_BYTE = 1024  # a field of a text becomes objects of Python


class Hang(BaseException):
    """An input took too long. No handler of the code under test may take it for its own."""


def fuzz(strategy: SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check inputs of the strategy: a fixed slice, or new ones for FUZZ_SECONDS."""
    quiet = settings(
        max_examples=ROUND if SECONDS else SLICE,
        database=None,
        deadline=None,
        derandomize=not SECONDS,
        suppress_health_check=list(HealthCheck),
    )
    end = time.monotonic() + SECONDS
    first = time.time_ns()
    for number in range(1_000_000):
        run = quiet(given(strategy)(check))
        (seed(first + number)(run) if SECONDS else run)()
        if time.monotonic() >= end:
            break


def survives(call: Callable[[], object], size: int) -> None:
    """Make the call for an input of `size` bytes: it may answer, or raise DemitasseError.

    Fails where it raises anything else, takes too long, or asks for too much memory.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemitasseWarning)
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's own are no answer either
        limits = bounded(PATIENCE * (1 + size / 1e6), ROOM + ROOM_PER_BYTE * size)
        with limits, contextlib.suppress(DemitasseError):
            call()


@contextlib.contextmanager
def bounded(seconds: float, room: int) -> Iterator[None]:
    """Raise Hang after so many seconds of processor time, MemoryError beyond so many bytes more
    than now."""

    def late(signum: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds:.1f} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    old = signal.signal(signal.SIGPROF, late)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, old)
