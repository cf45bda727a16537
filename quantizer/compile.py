"""The whole way from a float graph to a model.demi and its scale table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import demitasse
from demitasse.converter.evaluate import check_weights
from demitasse.converter.files import write_whole
from demitasse.converter.flat import FlatInfo, serialise
from demitasse.converter.graph import Graph
from demitasse.converter.passes import single_sample
from demitasse.converter.summary import Summary, summarise_graph
from demitasse.errors import DataError, warn
from demitasse.quantizer import stored
from demitasse.quantizer.budget import Budget, Trial, keep_budget
from demitasse.quantizer.calibrate import DEFAULT_COUNT
from demitasse.quantizer.datasets import DataSpec
from demitasse.quantizer.drift import Drift, find_drift
from demitasse.quantizer.files import check_folder
from demitasse.quantizer.judging import Images, choose_images, judge_model
from demitasse.quantizer.measure import (
    auto_methods,
    calibrate,
    find_exponents,
    float_model,
    fold,
)
from demitasse.quantizer.overrides import by_tensor
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.repair import USUAL_FOR_4_BITS, check_repairs
from demitasse.quantizer.repair.reservoir import repair_table
from demitasse.quantizer.repair.weights import ON_IMAGES
from demitasse.quantizer.scoring import Score
from demitasse.quantizer.table import Override, ScaleTable, build_table, to_text
from demitasse.quantizer.table_files import complete_table
from demitasse.quantizer.thresholds import AUTO
from demitasse.quantizer.weight_plans import with_small_weights
from demitasse.quantizer.weight_scales import DEFAULT_METHOD as WEIGHT_METHOD
from demitasse.runtime.model import Model

PRECISIONS = ("int8", "int16", "fp32")


@dataclass(frozen=True)
class CompileInfo:
    """What `compile` made; `network` is what was read, `folded` what is run, both of one sample.

    Bytes: arena is what the tensors and the operators' scratch need on the RK3288, on one thread;
    lower_bound the least that any plan could do with, for the portable kernels. persistent: the
    context.

    calibrated: images behind the ranges (0: the table was given, or fp32). score: on the images
    that `judged` names; None without data. drift: of the ranges between halves of the images.
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
    drift: Drift | None = None
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
    overrides: Mapping[str, Override] | None = None,
    budget: Budget | None = None,
    labels: DataSpec | None = None,
    judge: DataSpec | None = None,
    samples: int | None = DEFAULT_COUNT,
    workers: int = 1,
    equalized: bool = True,
    weight_method: str = WEIGHT_METHOD,
    small_weights: Sequence[str] = (),
    repairs: Collection[str] | None = None,
    output: str | None = None,
    top_k: int = 1,
    sources: Sequence[Path] = (),
    quiet: bool = True,
) -> CompileInfo:
    """Fold, calibrate, quantize and write `path` and, for integers, the table beside it.

    graph: as `load_caffe` gives it. precision: "int8", "int16" or "fp32" (needs no data).
    data: images or blobs, whatever `--data` takes; `samples` of them (None: all) calibrate.
    table: scales from before, or their file; then nothing is calibrated.
    method: of finding ranges, a row of `METHODS`, or "auto": the best for each tensor on a few
    images. overrides: another method, or the range itself, for single blobs.
    judge: other data, to compare with the float network on; without it some of `data` is held
    back from calibration for that. labels: of `judge`, or else of `data`; with them the score has
    accuracies, those of `output` where there are several.
    budget: what INT8 may cost; the fewest layers are raised to INT16 until it holds.
    weight_method: of finding the scales of INT8 weights. small_weights: layers whose weights take
    four bits, or ("all",). repairs: of INT8 weights, of `repair.REPAIRS`; by default none,
    and all where weights take four bits. "means" takes no images.
    equalized: give channels factors with `repair.equalize` (a given table has them).
    sources: files whose hashes the model should name. Raises DemitasseError on bad input; then
    nothing is written.
    """
    path, preprocess = Path(path), preprocess or Preprocess()
    check_weights(graph)
    check_repairs(repairs or ())
    if isinstance(table, str | os.PathLike):
        table = complete_table(Path(table), graph, data, preprocess, quiet)
    _check(path, precision, data, table, budget)
    images = choose_images(data, labels, judge)
    exponents = {} if table is None else table.equalized
    if table is None and equalized and precision != "fp32":
        exponents = find_exponents(graph)
    folded = fold(graph, exponents)
    with float_model(folded) as reference:
        calibrated, drift = 0, None
        if precision != "fp32" and table is None:
            statistics = calibrate(
                folded,
                reference,
                images.calibrate,
                preprocess,
                samples,
                workers,
                quiet,
                exponents=exponents,
            )
            calibrated = statistics.count
            given = by_tensor(overrides or {}, statistics.tensors, folded.blobs)
            fixed = [name for name, how in given.items() if not isinstance(how, str)]
            drift = find_drift(statistics.halves, precision, method, symmetric, fixed)
            if method == AUTO and precision == "int8":
                chosen = auto_methods(
                    folded, statistics, images.calibrate, preprocess, symmetric, given, quiet
                )
                given = {**chosen, **given}
            if repairs is None:
                repairs = USUAL_FOR_4_BITS if small_weights else ()
            how = (precision, method, symmetric)
            table = build_table(statistics, *how, given, weight_method, "means" in repairs)
            table = with_small_weights(folded, table, small_weights)
            if on_images := [name for name in ON_IMAGES if name in repairs]:
                assert images.calibrate is not None
                table = repair_table(
                    folded, reference, table, images.calibrate, preprocess, on_images
                )
        if budget is not None and table is not None:
            trial = Trial(folded, reference, preprocess, images, output, top_k, quiet)
            table = keep_budget(trial, table, budget)
        final = folded if table is None else quantize(folded, table)
        content, flat = _content(final, precision, preprocess, table, sources)
        model = reference.with_name("model.demi")
        model.write_bytes(content)
        result = None
        if images.judge is not None:
            result = judge_model(model, reference, images.judge, preprocess, output, top_k, quiet)
        memory = Model.open(model, kernels="generic").device_memory
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
        drift=drift,
        warnings=_warn(table, folded, images, preprocess),
    )


def _check(
    path: Path,
    precision: str,
    data: DataSpec | None,
    table: ScaleTable | None,
    budget: Budget | None,
) -> None:
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
    if budget is not None and (precision != "int8" or table is not None):
        raise DataError(
            "a budget raises layers from INT8 to INT16, where calibration is free to choose",
            remedy="leave out --max-drop and --min-sqnr, or give --int8 and no table",
        )


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
        said |= {"equalized": dict(table.equalized)} if table.equalized else {}
        said["table"] = hashlib.sha256(to_text(table).encode()).hexdigest()
    return serialise(final, preprocess=stored.to_record(preprocess, final), metadata=said)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _warn(
    table: ScaleTable | None, folded: Graph, images: Images, preprocess: Preprocess
) -> tuple[str, ...]:
    """Say what is odd, as warnings, and hand it back."""
    found = [] if table is None else list(table.warnings)
    for name in sorted(set() if table is None else table.tensors.keys() - folded.tensors.keys()):
        found.append(f"the table has a scale for '{name}', which the network lacks")
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
