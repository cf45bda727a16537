"""The scale table: what calibration decided, in a file to read and to edit (`.dtable`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.errors import DataError
from demitasse.quantizer.differences import decode
from demitasse.quantizer.files import read_file
from demitasse.quantizer.scheme import RANGES, activation_scale
from demitasse.quantizer.statistics import Statistics, TensorStatistics
from demitasse.quantizer.thresholds import AUTO, DEFAULT_METHOD, METHODS, Range, find_range
from demitasse.quantizer.weight_scales import DEFAULT_METHOD as WEIGHT_METHOD
from demitasse.quantizer.weight_scales import METHODS as WEIGHT_METHODS

FORMAT = "demitasse scale table"
VERSION = 1
FEW_SAMPLES = 32

NUMBERS = ("scale", "zero_point", "low", "high", "min", "max")  # of a tensor
GIVEN = "given"  # the range was

# What replaces the method for one tensor: another method's name, or the range itself.
Override = str | tuple[float, float]


@dataclass(frozen=True, slots=True)
class TensorScale:
    """real = scale * (q - zero_point).

    low, high: the range that the method chose; min, max: the values seen. All are float32 values.
    method: what chose the range where the table's did not, or "given"; else "".
    """

    scale: float
    zero_point: int
    low: float
    high: float
    min: float
    max: float
    method: str = ""


@dataclass(frozen=True, slots=True)
class ScaleTable:
    """Scales of activations by tensor and, optionally, of weights by node.

    weights: float32 values, one per output channel, real = scale * q; where a node is missing the
    quantizer derives them by `weight_method`. layers: the precision ("int8" or "int16") of those
    layers that have another than `precision`. statistics: hash of the statistics behind it, ""
    without any.

    means: of the channels of tensors, by which the layers that read them correct their biases
    (`integer.means`); empty where they shall not. weight_bits: 4 for those layers whose weights
    take four bits. biases: of nodes that have others than the network's, and correct none.
    rounding: what to add to the nearest codes of a node's weights, as `differences` encodes it.
    These are for layers in `precision`. equalized: the factors of tensors' channels, as
    `repair.equalize` has them.
    """

    precision: str
    symmetric: bool
    method: str
    statistics: str
    tensors: Mapping[str, TensorScale]
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    weight_method: str = "max"
    means: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    biases: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rounding: Mapping[str, str] = field(default_factory=dict)
    equalized: Mapping[str, str] = field(default_factory=dict)

    def tensor(self, name: str) -> TensorScale:
        """The scale of one tensor. DataError names it where it is missing."""
        if name not in self.tensors:
            raise DataError(
                f"the table has no scale for tensor '{name}'",
                remedy="calibrate this network anew, or add the tensor to the table",
            )
        return self.tensors[name]

    def at(self, precision: str) -> ScaleTable:
        """The table for another precision: the same, or scales anew from the values seen."""
        if precision == self.precision:
            return self
        symmetric = precision == "int16" or (self.symmetric and self.precision != "int16")
        tensors = {}
        for name, row in self.tensors.items():
            scale, zero_point = activation_scale(row.min, row.max, precision, symmetric)
            tensors[name] = replace(row, scale=float(scale), zero_point=zero_point)
        return replace(self, precision=precision, symmetric=symmetric, tensors=tensors, weights={})


def build_table(
    stats: Statistics,
    precision: str = "int8",
    method: str = DEFAULT_METHOD,
    symmetric: bool = False,
    overrides: Mapping[str, Override] | None = None,
    weight_method: str = WEIGHT_METHOD,
    means: bool = False,
) -> ScaleTable:
    """Choose every tensor's scale. INT16 is symmetric and takes the true maximum, always.

    means: whether layers shall correct their INT8 biases by the means of what they read.

    An input of pictures covers all that bytes can become, however dark those of the data are.
    """
    if precision not in RANGES:
        raise DataError(
            f"unknown precision '{precision}'", remedy=f"use one of {', '.join(RANGES)}"
        )
    if precision == "int16":
        method, symmetric = "minmax", True
        weight_method = "max"
    overrides, ranges = overrides or {}, stats.context.get("ranges", {})
    unknown = sorted(overrides.keys() - stats.tensors.keys())
    if unknown:
        raise DataError(f"there are no statistics of tensor '{unknown[0]}'")
    warnings = [f"only {stats.count} samples"] if 0 < stats.count < FEW_SAMPLES else []
    tensors = {}
    for name in sorted(stats.tensors):
        stat = stats.tensors[name]
        how = overrides.get(name, DEFAULT_METHOD if method == AUTO else method)
        chosen = _choose(stat, how, symmetric)
        if name in ranges and name not in overrides:
            low, high = ranges[name]
            chosen, how = chosen._replace(low=low, high=high), method
        warnings += [f"tensor '{name}': {text}" for text in chosen.warnings]
        scale = _tensor_scale(stat, chosen, precision, symmetric)
        by = how if isinstance(how, str) else GIVEN
        tensors[name] = replace(scale, method="" if by == method else by)
    return ScaleTable(
        precision,
        symmetric,
        method,
        stats.hash(),
        tensors,
        warnings=tuple(warnings),
        weight_method=weight_method,
        means=_means(stats) if means and precision == "int8" else {},
        equalized=stats.context.get("equalized", {}),
    )


def _means(stats: Statistics) -> dict[str, tuple[float, ...]]:
    """To four digits, which is more than rounding of weights can tell."""
    return {
        name: tuple(float32(float(f"{mean:.4g}")) for mean in stats.tensors[name].mean)
        for name in sorted(stats.tensors)
    }


def _choose(stat: TensorStatistics, how: Override, symmetric: bool) -> Range:
    if isinstance(how, str):
        return find_range(stat, how, symmetric)
    low, high = how
    if not (math.isfinite(low) and math.isfinite(high) and low <= 0 <= high):
        raise DataError(f"the range {low}..{high} is not finite or does not hold 0")
    return Range(low, high, ())


def _tensor_scale(
    stat: TensorStatistics, chosen: Range, precision: str, symmetric: bool
) -> TensorScale:
    low, high = float32(chosen.low), float32(chosen.high)
    scale, zero_point = activation_scale(low, high, precision, symmetric)
    return TensorScale(float(scale), zero_point, low, high, float32(stat.min), float32(stat.max))


def float32(value: float) -> float:
    """The nearest float32, as a Python float."""
    return float(np.float32(value))


def write_table(table: ScaleTable, path: Path) -> None:
    """Write a `.dtable`."""
    write_whole(path, [to_text(table).encode()])


def read_table(path: Path) -> ScaleTable:
    """Read a `.dtable`. DataError names the file and the key that is wrong."""
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError:
        raise DataError("is no scale table (not text)", file=path) from None
    return from_text(text, path)


def to_text(table: ScaleTable) -> str:
    """JSON, one tensor a line, sorted; the same table gives the same bytes."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "precision": table.precision,
        "symmetric": table.symmetric,
        "method": table.method,
        "weight_method": table.weight_method,
        "statistics": table.statistics,
        "warnings": list(table.warnings),
    }
    lines = [f"  {_json(key)}: {_json(value)}" for key, value in head.items()]
    tensors = {
        name: {key: _short(getattr(t, key)) for key in NUMBERS}
        | ({"method": t.method} if t.method else {})
        for name, t in sorted(table.tensors.items())
    }
    weights = {k: [_short(v) for v in scales] for k, scales in sorted(table.weights.items())}
    layers = dict(sorted(table.layers.items()))
    parts: dict[str, Mapping[str, Any]] = {"layers": layers, "tensors": tensors, "weights": weights}
    for key, rows in (parts | _repairs(table)).items():
        body = ",".join(f"\n    {_json(name)}: {_json(row)}" for name, row in rows.items())
        lines.append(f"  {_json(key)}: {{{body}\n  }}" if body else f"  {_json(key)}: {{}}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _repairs(table: ScaleTable) -> dict[str, Mapping[str, Any]]:
    """What few tables have, left out of the others."""
    means, biases = (
        {k: [_short(v) for v in values] for k, values in sorted(rows.items())}
        for rows in (table.means, table.biases)
    )
    parts: dict[str, Mapping[str, Any]] = {
        "means": means,
        "equalized": table.equalized,
        "weight_bits": table.weight_bits,
        "biases": biases,
        "rounding": table.rounding,
    }
    return {key: dict(sorted(rows.items())) for key, rows in parts.items() if rows}


def from_text(text: str, path: Path | None = None) -> ScaleTable:
    """The table that a text holds; every value is checked."""
    try:
        root = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise DataError(f"is no JSON ({error.msg})", file=path, line=error.lineno) from None
    except ValueError as error:
        raise DataError(str(error), file=path) from None
    try:
        return _table(_Checked(root, ""))
    except ValueError as error:
        raise DataError(str(error), file=path, remedy="see the table of another model") from None


def _table(root: _Checked) -> ScaleTable:
    if root.text("format") != FORMAT or root.integer("version", 0, 2**31) != VERSION:
        raise ValueError(f"is no {FORMAT} of version {VERSION}")
    root.only("format", "version", *(each.name for each in fields(ScaleTable)))
    precision = root.text("precision")
    if precision not in RANGES:
        raise ValueError(f"precision: {precision!r} is none of {', '.join(RANGES)}")
    tensors = {k: _tensor(root.child("tensors").child(k), precision) for k in root.names("tensors")}
    weights = {k: root.child("weights").scales(k) for k in root.names("weights")}
    warnings = root.get("warnings", list)
    return ScaleTable(
        precision,
        root.get("symmetric", bool),
        root.text("method"),
        root.text("statistics"),
        tensors,
        weights,
        _layers(root),
        tuple(str(w) for w in warnings),
        **_read_repairs(root),
    )


def _read_repairs(root: _Checked) -> dict[str, Any]:
    """What older tables lack: how weights are rounded, and other biases."""
    method = root.text("weight_method") if root.has("weight_method") else "max"
    if method not in WEIGHT_METHODS:
        raise ValueError(f"weight_method: {method!r} is none of {', '.join(WEIGHT_METHODS)}")
    bits, biases, rounding = (root.rows(key) for key in ("weight_bits", "biases", "rounding"))
    means = root.rows("means")
    equalized = root.rows("equalized")
    for name in rounding.names():
        try:
            decode(rounding.text(name))
        except ValueError as error:
            raise ValueError(f"rounding.{name}: {error}") from None
    return {
        "weight_method": method,
        "means": {name: means.reals(name) for name in means.names()},
        "weight_bits": {name: _four_or_eight(bits, name) for name in bits.names()},
        "biases": {name: biases.reals(name) for name in biases.names()},
        "rounding": {name: rounding.text(name) for name in rounding.names()},
        "equalized": {name: _digits(equalized, name) for name in equalized.names()},
    }


def _digits(rows: _Checked, name: str) -> str:
    text = rows.text(name)
    if not text or set(text) - set("0123456789abcdef"):
        raise ValueError(f"equalized.{name}: {_json(text)[:40]} is not of hexadecimal digits")
    return text


def _four_or_eight(bits: _Checked, name: str) -> int:
    value = bits.integer(name, 4, 8)
    if value not in (4, 8):
        raise ValueError(f"weight_bits.{name}: {value} is neither 4 nor 8")
    return value


def _layers(root: _Checked) -> dict[str, str]:
    """The precision of single layers; tables without the key have none."""
    if not root.has("layers"):
        return {}
    rows = root.child("layers")
    layers = {name: rows.text(name) for name in root.names("layers")}
    for name, precision in layers.items():
        if precision not in RANGES:
            raise ValueError(f"layers.{name}: {precision!r} is none of {', '.join(RANGES)}")
    return layers


def _tensor(row: _Checked, precision: str) -> TensorScale:
    row.only(*NUMBERS, "method")
    zero_point = row.integer("zero_point", *RANGES[precision])
    scale = row.positive("scale")
    if precision == "int16" and zero_point != 0:
        raise ValueError(f"{row.where}.zero_point: int16 wants 0")
    method = row.text("method") if row.has("method") else ""
    if method not in ("", GIVEN, *METHODS):
        raise ValueError(f"{row.where}.method: {method!r} is none of {', '.join(METHODS)}, {GIVEN}")
    low, high, least, most = (row.real(key) for key in NUMBERS[2:])
    return TensorScale(scale, zero_point, low, high, least, most, method)


@dataclass(frozen=True)
class _Checked:
    """A JSON object whose values are taken by type; ValueError says which key is wrong."""

    value: Any
    where: str

    def get(self, key: str, kind: type) -> Any:
        place = f"{self.where}.{key}" if self.where else key
        if not isinstance(self.value, dict):
            raise ValueError(f"{self.where or 'the text'}: an object is expected")
        if key not in self.value:
            raise ValueError(f"{place}: missing")
        value = self.value[key]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ValueError(f"{place}: {_json(value)[:40]} is no {_KINDS[kind]}")
        return value

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def only(self, *known: str) -> None:
        """No key but these: another is a slip that would be without effect."""
        for key in self.value:
            if key not in known:
                place = f"{self.where}.{key}" if self.where else key
                raise ValueError(f"{place}: no such key; known are {', '.join(known)}")

    def child(self, key: str) -> _Checked:
        return _Checked(self.get(key, dict), f"{self.where}.{key}" if self.where else key)

    def rows(self, key: str) -> _Checked:
        """The object of that key, an empty one where there is none."""
        return self.child(key) if self.has(key) else _Checked({}, key)

    def names(self, key: str | None = None) -> list[str]:
        return list(self.value if key is None else self.get(key, dict))

    def text(self, key: str) -> str:
        return str(self.get(key, str))

    def integer(self, key: str, low: int, high: int) -> int:
        value = int(self.get(key, int))
        if not low <= value <= high:
            raise ValueError(f"{self.where}.{key}: {value} is out of range {low}..{high}")
        return value

    def real(self, key: str) -> float:
        return _real(self.get(key, _NUMBER), f"{self.where}.{key}")

    def positive(self, key: str) -> float:
        return _positive(self.get(key, _NUMBER), f"{self.where}.{key}")

    def scales(self, key: str) -> tuple[float, ...]:
        place = f"{self.where}.{key}"
        return tuple(_positive(v, place) for v in self.get(key, list))

    def reals(self, key: str) -> tuple[float, ...]:
        place = f"{self.where}.{key}"
        return tuple(_real(v, place) for v in self.get(key, list))


_NUMBER: Any = (int, float)
_KINDS: dict[Any, str] = {
    bool: "truth value",
    dict: "object",
    int: "integer",
    list: "list",
    str: "string",
    _NUMBER: "number",
}


def _real(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        raise ValueError(f"{place}: {_json(value)[:40]} is no number")
    try:
        with np.errstate(over="ignore"):
            number = float32(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{place}: {value} is no float32")
    return number


def _positive(value: Any, place: str) -> float:
    number = _real(value, place)
    if number < float(np.finfo(np.float32).tiny):
        raise ValueError(f"{place}: a scale has to be positive, not {value}")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)}: given twice")
    return result


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number that a table may hold")


def _short(value: float) -> float:
    """A number that prints as the shortest text which reads back to the same float32."""
    return value if isinstance(value, int) else float(str(np.float32(value)))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def with_weights(table: ScaleTable, weights: Mapping[str, tuple[float, ...]]) -> ScaleTable:
    """The same table with the quantizer's weight scales, for export."""
    return replace(table, weights={k: tuple(map(float32, v)) for k, v in weights.items()})
