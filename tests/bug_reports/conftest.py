"""What the tests of bug reports share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.written import Load, load_text


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(text, weights, **options): a network written in the test."""
    return partial(load_text, tmp_path)
