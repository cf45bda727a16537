"""Which images judge a model, and its score on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demitasse.converter.flat import parse_model
from demitasse.quantizer.datasets import Dataset, DataSpec, open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.scoring import Score, class_axes, class_output, row_outputs, score
from demitasse.runtime.model import Model

# At most so many images, and one in five, judge instead of calibrating.
HELD_BACK = 100
HELD_BACK_LABELLED = 1000  # an accuracy needs more than a ratio of errors
HELD_BACK_SEED = 1


@dataclass(frozen=True)
class Images:
    """What calibrates and what judges. judged: "held back", "given" or "calibration" images."""

    calibrate: Dataset | None
    judge: Dataset | None
    judged: str = ""


def choose_images(data: DataSpec | None, labels: DataSpec | None, judge: DataSpec | None) -> Images:
    if judge is not None:
        return Images(
            None if data is None else open_dataset(data), open_dataset(judge, labels), "given"
        )
    return Images(None, None) if data is None else hold_back(open_dataset(data, labels))


def hold_back(dataset: Dataset) -> Images:
    """Set some images aside to judge with: the same ones everywhere, always."""
    most = HELD_BACK if dataset.labels is None else HELD_BACK_LABELLED
    count = min(len(dataset) // 5, most)
    if not count:
        return Images(dataset, dataset, "calibration")
    judge = dataset.subset(count, HELD_BACK_SEED)
    rest = np.flatnonzero(~np.isin(dataset.ids, judge.ids))
    return Images(dataset.select(rest), judge, "held back")


def judge_model(
    model: Path,
    reference: Path,
    dataset: Dataset,
    preprocess: Preprocess,
    output: str | None = None,
    top_k: int = 1,
    quiet: bool = True,
) -> Score:
    """Score a model file against the float one; by labels too, where the data has them."""
    file = parse_model(reference.read_bytes())
    shapes = {name: file.tensors[index].shape for name, index in file.inputs.items()}
    labelled = dataset.labels is not None
    return score(
        Model.open(model),
        Model.open(reference),
        tqdm(dataset, desc="judge", unit="sample", disable=quiet, leave=False),
        feed_for(shapes, preprocess),
        class_axes=class_axes(file),
        detections=row_outputs(file),
        output=class_output(file, output) if labelled else None,
        top_k=top_k,
    )
