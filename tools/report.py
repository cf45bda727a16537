"""What `compile`, `convert` and `quantize` tell about the model that they made."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from demitasse.converter.graph import Shape
from demitasse.converter.summary import Summary
from demitasse.quantizer.boxes import BoxFidelity
from demitasse.quantizer.compile import CompileInfo
from demitasse.quantizer.drift import Drift
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.scoring import Accuracy, Fidelity, Score
from demitasse.quantizer.table import ScaleTable
from demitasse.tools.options import Preprocessing
from demitasse.tools.table import (
    amount,
    decibels,
    dims,
    facts,
    near_one,
    percent,
    plural,
    size,
)

JUDGED = {
    "held back": "held back from calibration",
    "calibration": "that calibrated too",
    "given": "given to judge",
}


def as_text(info: CompileInfo, preprocess: Preprocessing) -> str:
    """Labelled lines for people."""
    lines = [("network", _network(info.network)), *ports(info.network)]
    lines.append(("preprocessing", described(preprocess, info.network)))
    layers, operators = len(info.network.rows), len(info.folded.rows)
    lines.append(("folding", f"{plural(layers, 'layer')} became {plural(operators, 'operator')}"))
    if info.table is not None:
        lines.append(("scales", _scales(info)))
        lines += drift_lines(info.drift)
        if info.table.layers:
            names = ", ".join(info.table.layers)
            lines.append(("raised to INT16", f"{names} ({len(info.table.layers)} of {operators})"))
    lines += memory(info)
    if info.score is not None:
        lines += _score(info.score, info.judged, info.precision)
    files = [info.path, *([info.table_path] if info.table_path else [])]
    lines.append(("written", ", ".join(map(str, files))))
    return facts(lines)


def as_data(info: CompileInfo, preprocess: Preprocessing) -> dict[str, Any]:
    """The same, for --json; rows and tables are in the files."""
    data = {f.name: getattr(info, f.name) for f in dataclasses.fields(info) if f.name != "table"}
    for name in ("network", "folded"):
        summary = data[name]
        data[name] = {
            "operators": len(summary.rows),
            **{key: getattr(summary, key) for key in ("inputs", "outputs", "macs", "parameters")},
        }
    said = {**preprocess.value.describe(), "origin": preprocess.origin}
    return {**data, "preprocess": said, "drop": drop(info.score)}


def drop(score: Score | None) -> float | None:
    """Points of accuracy lost against float; None without labels."""
    if score is None or score.accuracy is None or score.float_accuracy is None:
        return None
    return 100 * (score.float_accuracy.share - score.accuracy.share)


def ports(summary: Summary) -> list[tuple[str, str]]:
    """Inputs and outputs with their shapes, and the batch where it is more than one."""
    found = []
    for label, named in (("input", summary.inputs), ("output", summary.outputs)):
        text = "\n".join(f"{name} {dims(shape)}" for name, shape in named.items())
        found.append((label if len(named) == 1 else f"{label}s", text))
    batch = max((shape[0] for shape in summary.inputs.values() if shape), default=1)
    if batch > 1:
        found.append(("batch", f"stays {batch}, for a layer mixes or indexes the samples"))
    return found


def described(preprocess: Preprocessing, summary: Summary) -> str:
    """What happens to a picture, in words, and where that was said."""
    shape = next(iter(summary.inputs.values())) or ()
    return f"{in_words(preprocess.value, shape)} ({preprocess.origin})"


def in_words(preprocess: Preprocess, shape: Shape) -> str:
    """`RGB, (pixel - 127.5) × 0.0078125, stretched to 112×112`."""
    if len(shape) != 4 or shape[1] not in (1, 3):
        return "none, the input is no picture"
    mean, scale = _values(preprocess.mean), _values(preprocess.scale)
    if preprocess.mean_image is not None:
        mean = "mean image"
    value = "pixel" if mean == "0" else f"(pixel - {mean})"
    value = f"{value} × {scale}" if scale != "1" else f"{value} as it is" if mean == "0" else value
    size = f"{shape[3]}×{shape[2]}"
    fit = f"stretched to {size}"
    if preprocess.letterbox:
        fit = f"fitted into {size} with borders"
    elif preprocess.resize:
        fit = f"stretched to {dims(preprocess.resize)}, centre {size}"
    elif preprocess.crop:
        fit = f"centre {size}"
    return f"{preprocess.network_order(shape[1]).upper()}, {value}, {fit}"


def memory(info: CompileInfo) -> list[tuple[str, str]]:
    """Sizes of the file and of what a run needs."""
    return [
        ("model", f"{info.precision.upper()}, {size(info.file_size)}"),
        ("memory", peak(info.persistent, info.arena, info.lower_bound)),
    ]


def peak(persistent: int, arena: int, bound: int) -> str:
    """What a run needs, and how near its plan comes to the least there can be."""
    least = f"{arena / bound:.2f} × the least possible" if bound else "least unknown"
    total = size(persistent + arena)
    return f"{total} peak: {size(persistent)} persistent + {size(arena)} arena ({least})"


def _network(summary: Summary) -> str:
    macs = f"{amount(summary.macs)} multiply-accumulates"
    layers = plural(len(summary.rows), "layer")
    name = f"{summary.name}: " if summary.name else ""
    return f"{name}{layers}, {macs}, {plural(summary.parameters, 'parameter')}"


def _scales(info: CompileInfo) -> str:
    assert info.table is not None
    tensors = plural(len(info.table.tensors), "tensor")
    method = f"{info.table.method}{', symmetric' if info.table.symmetric else ''}"
    if not info.calibrated:
        return f"{tensors}, from the given table ({method})"
    return f"{tensors}, {method}{_by_method(info.table)}, from {plural(info.calibrated, 'image')}"


def _by_method(scales: ScaleTable) -> str:
    """How many tensors another method than the table's served."""
    count = Counter(scale.method for scale in scales.tensors.values() if scale.method)
    return f" ({', '.join(f'{n} {name}' for name, n in sorted(count.items()))})" if count else ""


def drift_lines(drift: Drift | None) -> list[tuple[str, str]]:
    """Whether more images would help, and the tensors that tell."""
    if drift is None:
        return []
    verdict = "would help" if drift.moved else "would not help"
    halves = f"two halves of {drift.images[0]} and {drift.images[1]}"
    moved = f"{drift.moved} of {plural(len(drift.tensors), 'range')} differ by more than"
    lines = [f"{verdict}: between {halves} {moved} {100 * (drift.limit - 1):.0f} %"]
    worst = ", ".join(f"{each.tensor} {each.ratio:.2f}×" for each in drift.worst)
    return [("more images", "\n".join([*lines, f"most: {worst}"] if worst else lines))]


def _score(score: Score, judged: str, precision: str) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    images = f"{plural(score.images, 'image')} {JUDGED[judged]}"
    lines += accuracy(score)
    if precision != "fp32":
        text = [images, *(agreement(each) for each in score.outputs)]
        lines.append(("against float", "\n".join(text)))
    return lines


def accuracy(score: Score) -> list[tuple[str, str]]:
    """The accuracy beside float's, where there are labels."""
    if score.accuracy is None or score.float_accuracy is None:
        return []
    return [("accuracy", _accuracy(score.accuracy, score.float_accuracy))]


def _accuracy(mine: Accuracy, floats: Accuracy) -> str:
    points = 100 * (mine.share - floats.share)
    top = "" if mine.top_k == 1 else f" (top {mine.top_k})"
    return (
        f"{percent(mine.share)} of {mine.total:,} right{top}; "
        f"float {percent(floats.share)}, {points:+.2f} points"
    )


def agreement(output: Fidelity | BoxFidelity) -> str:
    """How near one output comes to float, in words."""
    return _boxes(output) if isinstance(output, BoxFidelity) else _fidelity(output)


def _fidelity(output: Fidelity) -> str:
    same = "" if output.agreement is None else f"same answer {percent(output.agreement)}, "
    low, worst = near_one(output.low_cosine), near_one(output.worst_cosine)
    cosine = f"cosine {near_one(output.cosine)} (1 % below {low}, worst {worst})"
    return f"{output.name}: {same}SQNR {decibels(output.sqnr)}, {cosine}"


def _boxes(output: BoxFidelity) -> str:
    again = f"{percent(output.share)} of {output.boxes:,} boxes found again"
    overlap = f"overlap {near_one(output.overlap)} (worst {near_one(output.worst_overlap)})"
    return f"{output.name}: {again}, {output.extra:,} more, {overlap}"


def _values(values: tuple[float, ...]) -> str:
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"[{' '.join(texts)}]"
