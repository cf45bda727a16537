"""Nets written in the tests themselves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.written import Load, load_text


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(text, weights): weights are arrays by layer name, written to a caffemodel."""
    return partial(load_text, tmp_path)
