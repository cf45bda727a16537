"""The whole way from a float graph to a model.demi and its scale table."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import demitasse
from demitasse.converter.evaluate import check_weights
from demitasse.converter.files import write_whole
from demitasse.converter.flat import FlatInfo, parse_model, serialise
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize, single_sample
from demitasse.converter.summary import Summary, summarise_graph
from demitasse.errors import DataError, DemitasseWarning
from demitasse.quantizer import stored
from demitasse.quantizer.calibrate import DEFAULT_COUNT, collect
from demitasse.quantizer.datasets import Dataset, DataSpec, open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.ncnn_table import read_ncnn, write_ncnn
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.repair import equalize, is_equalized
from demitasse.quantizer.scoring import Score, class_axes, class_output, score
from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import (
    ScaleTable,
    build_table,
    read_table,
    to_text,
    write_table,
)
from demitasse.runtime.model import Model

PRECISIONS = ("int8", "int16", "fp32")
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


@dataclass(frozen=True)
class CompileInfo:
    """What `compile` made; `network` is what was read, `folded` what is run, both of one sample.

    Bytes: arena is what the tensors and the operators' scratch need on one thread, lower_bound the
    least that any plan could do with. persistent: the context.

    calibrated: images behind the ranges (0: the table was given, or fp32). score: on the images
    that `judged` names; None without data.
    """

    path: Path
    table_path: Path | None
    precision: str
    network: Summary
    folded: Summary
    file_size: int
    arena: int
    lower_bound: int
    persistent: int
    table: ScaleTable | None = None
    calibrated: int = 0
    score: Score | None = None
    judged: str = ""
    warnings: tuple[str, ...] = ()


def compile(
    graph: Graph,
    path: str | os.PathLike[str],
    precision: str = "int8",
    data: DataSpec | None = None,
    method: str = "mse",
    symmetric: bool = False,
    preprocess: Preprocess | None = None,
    table: ScaleTable | str | os.PathLike[str] | None = None,
    *,
    labels: DataSpec | None = None,
    judge: DataSpec | None = None,
    samples: int | None = DEFAULT_COUNT,
    workers: int = 1,
    equalized: bool = True,
    output: str | None = None,
    top_k: int = 1,
    sources: Sequence[Path] = (),
    quiet: bool = True,
) -> CompileInfo:
    """Fold, calibrate, quantize and write `path` and, for integers, the table beside it.

    graph: as `load_caffe` gives it. precision: "int8", "int16" or "fp32" (needs no data).
    data: images or blobs, whatever `--data` takes; `samples` of them (None: all) calibrate.
    table: scales from before, or their file; then nothing is calibrated.
    judge: other data, to compare with the float network on; without it some of `data` is held
    back from calibration for that. labels: of `judge`, or else of `data`; with them the score has
    accuracies, those of `output` where there are several.
    equalized: prepare integer models with `repair.equalize` (a given table says it by itself).
    sources: files whose hashes the model should name. Raises DemitasseError on bad input; then
    nothing is written.
    """
    path, preprocess = Path(path), preprocess or Preprocess()
    check_weights(graph)
    if isinstance(table, str | os.PathLike):
        table = complete_table(open_table(Path(table), graph), graph, data, preprocess, quiet)
    _check(path, precision, data, table)
    if table is not None:
        equalized = is_equalized(table.tensors)
    folded = fold(graph, equalized and precision != "fp32")
    images = _images(data, labels, judge)
    with float_model(folded) as reference:
        calibrated = 0
        if precision != "fp32" and table is None:
            statistics = calibrate(
                folded, reference, images.calibrate, preprocess, samples, workers, quiet
            )
            calibrated = statistics.count
            table = build_table(statistics, precision, method, symmetric)
        final = folded if table is None else quantize(folded, table)
        content, flat = _content(final, precision, preprocess, table, sources)
        model = reference.with_name("model.demi")
        model.write_bytes(content)
        result = None
        if images.judge is not None:
            result = judge_model(model, reference, images.judge, preprocess, output, top_k, quiet)
        memory = Model.open(model, kernels="generic").memory  # as on the device
    table_path = None if table is None else path.with_suffix(".dtable")
    if table is not None and table_path is not None:
        write_whole(table_path, [to_text(table).encode()])
    write_whole(path, [content])
    return CompileInfo(
        path,
        table_path,
        precision,
        network=summarise_graph(single_sample(graph)),
        folded=summarise_graph(folded),
        file_size=flat.file_size,
        arena=memory.arena,
        lower_bound=flat.lower_bound,
        persistent=memory.persistent,
        table=table,
        calibrated=calibrated,
        score=result,
        judged=images.judged,
        warnings=_warn(table, images, preprocess),
    )


def calibrate(
    folded: Graph,
    reference: Path,
    dataset: Dataset | None,
    preprocess: Preprocess,
    samples: int | None = DEFAULT_COUNT,
    workers: int = 1,
    quiet: bool = True,
    shard: tuple[int, int] = (1, 1),
) -> Statistics:
    """Statistics of a folded graph's tensors, from its float model on this machine."""
    assert dataset is not None
    return collect(
        partial(Model.open, reference),
        dataset,
        preprocess,
        {name: folded.tensors[name].shape for name in folded.inputs},
        count=samples,
        shard=shard,
        workers=workers,
        model=hashlib.sha256(reference.read_bytes()).hexdigest()[:16],
        quiet=quiet,
    )


def measure(
    graph: Graph,
    data: DataSpec,
    preprocess: Preprocess,
    *,
    samples: int | None = DEFAULT_COUNT,
    shard: tuple[int, int] = (1, 1),
    workers: int = 1,
    equalized: bool = True,
    quiet: bool = True,
) -> Statistics:
    """The statistics of a network as `load_caffe` gives it, over all of the data."""
    check_weights(graph)
    folded, dataset = fold(graph, equalized), open_dataset(data)
    with float_model(folded) as reference:
        return calibrate(folded, reference, dataset, preprocess, samples, workers, quiet, shard)


def fold(graph: Graph, equalized: bool) -> Graph:
    """The graph as it is calibrated and run."""
    folded = optimize(graph)
    return equalize(folded) if equalized else folded


def open_table(path: Path, graph: Graph) -> ScaleTable:
    """A scale table, by its name: `.table` is ncnn's, which needs the network that it is of."""
    return read_ncnn(path, optimize(graph)) if path.suffix == ".table" else read_table(path)


def complete_table(
    table: ScaleTable,
    graph: Graph,
    data: DataSpec | None,
    preprocess: Preprocess,
    quiet: bool = True,
) -> ScaleTable:
    """ncnn's table with scales, from data, for the tensors that it does not know."""
    missing = [name for name in optimize(graph).tensors if name not in table.tensors]
    if table.method != "ncnn" or not missing:
        return table
    if data is None:
        raise DataError(
            f"an ncnn table has no scale for what no convolution reads ({', '.join(missing)})",
            remedy="give --data to measure it",
        )
    measured = build_table(
        measure(graph, data, preprocess, equalized=False, quiet=quiet), symmetric=True
    )
    warnings = (*table.warnings, f"measured, for ncnn's table has none: {', '.join(missing)}")
    return replace(table, tensors={**measured.tensors, **table.tensors}, warnings=warnings)


def save_table(table: ScaleTable, path: Path, graph: Graph | None = None) -> None:
    """Write a scale table, by its name: `.table` is ncnn's, which needs the network."""
    if path.suffix != ".table":
        write_table(table, path)
        return
    if graph is None:
        raise DataError(
            "an ncnn table holds weight scales too",
            file=path,
            remedy="name the prototxt and caffemodel",
        )
    if is_equalized(table.tensors):
        raise DataError(
            "ncnn knows nothing of equalized channels",
            file=path,
            remedy="calibrate with --no-equalize",
        )
    check_weights(graph)
    write_ncnn(table, optimize(graph), path)


def warn(texts: Iterable[str]) -> None:
    """Each as a DemitasseWarning."""
    for text in texts:
        warnings.warn(text, DemitasseWarning, stacklevel=3)


def check_folder(path: Path) -> None:
    """Refuse early to write where nothing can be written."""
    if not path.parent.is_dir():
        raise DataError("no such folder to write to", file=path.parent, remedy="make it first")


@contextmanager
def float_model(folded: Graph) -> Iterator[Path]:
    """The folded graph as a float32 model.demi, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="demitasse-") as folder:
        path = Path(folder) / "float.demi"
        path.write_bytes(serialise(folded)[0])
        yield path


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
        output=class_output(file, output) if labelled else None,
        top_k=top_k,
    )


def _check(path: Path, precision: str, data: DataSpec | None, table: ScaleTable | None) -> None:
    """Refuse early what would fail late."""
    if precision not in PRECISIONS:
        raise DataError(f"unknown precision '{precision}'", remedy=", ".join(PRECISIONS))
    check_folder(path)
    if precision == "fp32" and table is not None:
        raise DataError("a float model needs no scale table")
    if precision != "fp32" and data is None and table is None:
        raise DataError(
            f"{precision} needs calibration data",
            remedy="give --data, a folder of images for instance, or --fp32",
        )
    if table is not None and table.precision != precision:
        raise DataError(f"the scale table is of {table.precision}, not {precision}")


def _images(data: DataSpec | None, labels: DataSpec | None, judge: DataSpec | None) -> Images:
    if judge is not None:
        return Images(
            None if data is None else open_dataset(data), open_dataset(judge, labels), "given"
        )
    return Images(None, None) if data is None else hold_back(open_dataset(data, labels))


def _content(
    final: Graph,
    precision: str,
    preprocess: Preprocess,
    table: ScaleTable | None,
    sources: Sequence[Path],
) -> tuple[bytes, FlatInfo]:
    """The bytes of the model, with what it was made from."""
    said: dict[str, Any] = {
        "tool": f"demitasse {demitasse.__version__}",
        "precision": precision,
        "preprocess": preprocess.describe(),
        "sources": {path.name: _sha256(path) for path in sources},
    }
    if table is not None:
        said["method"] = table.method
        said["table"] = hashlib.sha256(to_text(table).encode()).hexdigest()
    return serialise(final, preprocess=stored.to_record(preprocess, final), metadata=said)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _warn(table: ScaleTable | None, images: Images, preprocess: Preprocess) -> tuple[str, ...]:
    """Say what is odd, as warnings, and hand it back."""
    found = [] if table is None else list(table.warnings)
    if images.judged == "calibration":
        found.append("too few images to hold some back: those that calibrate also judge")
    pictures = images.calibrate is not None and images.calibrate.kind == "image"
    if pictures and preprocess.describe() == Preprocess(order=preprocess.order).describe():
        found.append(
            "pixels go in as they are, 0 to 255; give --mean and --scale if training had others"
        )
    if pictures and preprocess.crop and preprocess.resize is None:
        found.append(
            "a model cannot cut its input out of pictures of any size by itself: dmt_image will "
            "stretch; give --resize"
        )
    warn(found)
    return tuple(found)
