"""What `compare` tells."""

from __future__ import annotations

import json
from collections.abc import Iterable

from demitasse.quantizer.comparison import LayerRow
from demitasse.quantizer.diagnosis import Closeness, LayerDiagnosis
from demitasse.quantizer.embedding import Verification
from demitasse.quantizer.findings import Findings
from demitasse.quantizer.plan import Suggestion
from demitasse.quantizer.table import ScaleTable
from demitasse.tools import report
from demitasse.tools.table import decibels, facts, near_one, percent, plural, table


def as_text(found: Findings) -> str:
    """Tables and labelled lines for people."""
    parts = [_rows(found), facts(_lines(found))]
    if found.verification is not None:
        parts.append(_verification(found.verification))
    if found.suggestion is not None and found.table is not None:
        parts.append(_suggestion(found.suggestion, found.table, found.seconds))
    return "\n\n".join(parts)


def _rows(found: Findings) -> str:
    """One row a blob: what the model lost, and what its layer loses on float inputs."""
    headers = ["layer", "blob", "dtype", "SQNR", "cosine", "max error", "clipped"]
    compared = [_compared(row) for row in found.comparison.rows]
    if found.layers is None:
        return table(headers, compared, left=3)
    alone = {each.blob: each for each in found.layers}
    rows = [
        [*cells, *_alone(alone.get(row.blob))]
        for cells, row in zip(compared, found.comparison.rows, strict=True)
    ]
    return table([*headers, "weights", "activations", "alone", "worst channel"], rows, left=3)


def _compared(row: LayerRow) -> list[str]:
    error, clipped = f"{row.max_error:.3g}", percent(row.clipped)
    cosine = near_one(row.cosine)
    return [row.layer, row.blob, row.dtype, decibels(row.sqnr), cosine, error, clipped]


def _alone(layer: LayerDiagnosis | None) -> list[str]:
    if layer is None:
        return [""] * 4
    worst = next((f"{c.index}: {decibels(c.sqnr)}" for c in layer.worst), "")
    return [*map(_decibels, (layer.weights, layer.activations, layer.alone)), worst]


def _decibels(closeness: Closeness | None) -> str:
    return "" if closeness is None else decibels(closeness.sqnr)


def _lines(found: Findings) -> list[tuple[str, str]]:
    result, bad = found.comparison, found.comparison.first_bad
    verdict = f"none below {result.limit:g} dB"
    if bad is not None:
        verdict = f"{bad.layer} ({bad.blob}): {decibels(bad.sqnr)}, below {result.limit:g} dB"
    lines = [("images", plural(result.images, "image"))]
    outputs = [report.agreement(each) for each in found.scores.outputs]
    if found.scores.images != result.images:
        outputs.insert(0, plural(found.scores.images, "image"))
    lines += [("outputs", "\n".join(outputs)), *report.accuracy(found.scores)]
    if not found.in_budget:
        lines.append(("budget", "not kept"))
    lines.append(("first bad layer", verdict))
    if found.layers is not None:
        lines.append(("alone", _worst_layers(found.layers, found.diagnosed)))
    elif found.table_missing:
        lines.append(("alone", "not measured: the model's .dtable is not beside it; give --table"))
    return [*lines, *report.drift_lines(found.drift)]


def _worst_layers(layers: Iterable[LayerDiagnosis], images: int) -> str:
    """The layers that lose most by themselves, and to what."""
    worst = sorted(layers, key=lambda each: (each.alone.sqnr, each.layer))[:3]
    return "\n".join([f"on {plural(images, 'image')}; the worst:", *map(_blame, worst)])


def _blame(layer: LayerDiagnosis) -> str:
    weights, activations = layer.weights, layer.activations
    at_fault = "activations"
    if weights is not None and weights.sqnr < activations.sqnr:
        at_fault = "weights"
    clipped = f", {percent(layer.clipped)} clipped" if layer.clipped > 0.001 else ""
    return f"{layer.layer}: {decibels(layer.alone.sqnr)}, by its {at_fault}{clipped}"


def _verification(found: Verification) -> str:
    rows = [
        [
            f"{p.far:g}",
            percent(p.float_tar),
            percent(p.tar),
            f"{p.float_threshold:.4f}",
            f"{p.shift:+.4f}",
            percent(p.kept_tar),
            f"{p.kept_far:.3g}",
        ]
        for p in found.points
    ]
    headers = ["FAR", "float TAR", "TAR", "float threshold", "shift", "TAR at it", "FAR at it"]
    pairs = f"{plural(found.genuine, 'pair')} of one identity, {found.impostor:,} of two"
    return f"{facts([(found.output, pairs)])}\n\n{table(headers, rows, left=0)}"


def _suggestion(found: Suggestion, scales: ScaleTable, seconds: float) -> str:
    """The steps, and the line of the table that takes them."""
    steps = found.steps[: found.advised]
    rows = [[step.layer, decibels(step.sqnr)] for step in steps]
    cost = f"{plural(found.models, 'model')} × {plural(found.images, 'image')}, {seconds:.0f} s"
    names = found.layers(scales).items()
    body = ",\n".join(f"    {json.dumps(k, ensure_ascii=False)}: {json.dumps(v)}" for k, v in names)
    gained = f"{decibels(found.sqnr)}, with it {decibels(found.reached)}"
    lines = [
        ("suggested plan", f"outputs have {gained} ({cost})"),
        ("", "in the table, then `demitasse quantize`:"),
    ]
    gains = table(["raise to INT16", "predicted with those above"], rows)
    return f'{facts(lines)}\n\n{gains}\n\n  "layers": {{\n{body}\n  }},'
