"""What the tests of bug reports share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.written import Weights, load_text

from demitasse.converter.graph import Graph

Load = Callable[..., Graph]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(text, weights, **options)."""

    def load_it(text: str | bytes, weights: Weights | bytes | None = None, **options: Any) -> Graph:
        return load_text(tmp_path, text, weights, **options)

    return load_it
