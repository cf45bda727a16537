"""Nets written in the tests themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel
from demitasse.converter.graph import Graph

Load = Callable[..., Graph]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(text, weights): weights are arrays by layer name, written to a caffemodel."""

    def load_text(
        text: str, weights: Mapping[str, Sequence[Any]] | None = None, **options: Any
    ) -> Graph:
        prototxt = tmp_path / "net.prototxt"
        prototxt.write_text(text)
        model = None
        if weights is not None:
            model = tmp_path / "net.caffemodel"
            layers = [
                WeightLayer(name, "", arrays=tuple(np.asarray(a, np.float32) for a in arrays))
                for name, arrays in weights.items()
            ]
            write_caffemodel(model, layers)
        return load_caffe(prototxt, model, **options)

    return load_text
