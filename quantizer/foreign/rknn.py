"""RKNN toolkit's `quantization.cfg`: YAML that the first step of hybrid quantization writes.

    customized_quantize_layers: {conv2_7: dynamic_fixed_point-i16}
    quantize_parameters:
        '@conv1_3:out0':
            dtype: asymmetric_affine
            method: layer
            max_value: [5.73]
            min_value: [0.0]
            zero_point: [0]
            scale: [0.0225]
            qtype: u8

Zero points of u8 are 128 above ours; i8 and i16 are powers of two, `fl` being the bits behind the
point. The toolkit numbers the layers, `conv1_3`, so what it wrote is filled in, not written anew.
Its weights have one scale and a zero point; ours, one scale a channel, are left to the quantizer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph, Node
from demitasse.errors import DataError
from demitasse.quantizer.foreign.base import read_text
from demitasse.quantizer.scheme import activation_scale
from demitasse.quantizer.sharing import scale_sources
from demitasse.quantizer.table import ScaleTable, TensorScale, float32

WHAT = "quantization.cfg of RKNN"
PARAMETERS, CUSTOMIZED = "quantize_parameters", "customized_quantize_layers"
WIDE = "dynamic_fixed_point-i16"
DTYPES = {
    "asymmetric_affine-u8": "int8",
    "dynamic_fixed_point-i8": "int8",
    WIDE: "int16",
    "float16": "int16",  # the nearest that there is
    "float32": "int16",
}
_KEY = re.compile(r"@(?P<layer>.+):(?P<what>[a-z]+)(?P<index>\d*)\Z", re.DOTALL)
_NUMBERED = re.compile(r"_\d+\Z")

Entry = Mapping[str, Any]


def read(path: Path, graph: Graph) -> ScaleTable:
    """Read a file for a folded graph; tensors that it does not know are missing."""
    root, tensors = _load(path), _Tensors(graph)
    rows: dict[str, tuple[TensorScale, int]] = {}
    for key, entry in root[PARAMETERS].items():
        tensor = tensors.find(key, exact=True)
        if tensor is not None:
            rows[tensor] = _row(entry, key, path)
    if not rows:
        raise DataError(
            "knows no layer of this network", file=path, remedy="use the file of this very network"
        )
    wide = all(bits == 16 for _, bits in rows.values())
    scales = {
        name: row if bits == (16 if wide else 8) else _narrow(row)
        for name, (row, bits) in sorted(rows.items())
    }
    layers, warnings = _layers(root, tensors, "int16" if wide else "int8", path)
    symmetric = not any(row.zero_point for row in scales.values())
    precision = "int16" if wide else "int8"
    return ScaleTable(precision, symmetric, "rknn", "", scales, {}, layers, tuple(warnings))


def write(table: ScaleTable, graph: Graph, path: Path) -> None:
    """Fill the scales of an INT8 table, and which layers are INT16, into the toolkit's file."""
    if table.precision != "int8":
        raise DataError(f"a {WHAT} starts from INT8", file=path, remedy="raise layers to INT16")
    if not path.is_file():
        raise DataError(
            "RKNN numbers the layers, so its own file is filled in, and there is none",
            file=path,
            remedy="let hybrid_quantization_step1 of its toolkit write it",
        )
    root, tensors = _load(path), _Tensors(graph)
    parameters, sources = root[PARAMETERS], scale_sources(graph)
    filled: dict[str, float] = {}
    for key, entry in parameters.items():
        tensor = tensors.find(key)
        if tensor is not None:
            row = table.tensor(sources[tensor])
            _fill(entry, row, key, path)
            filled[tensor] = row.scale
    if not filled:
        raise DataError("knows no layer of this network", file=path)
    for key, entry in parameters.items():
        try:
            _fill_bias(key, entry, parameters, tensors, filled)
        except ValueError as error:
            raise DataError(f"{key}: {error} of the weights", file=path) from None
    known = {name: node for key in parameters if (name := _layer(key)) for node in tensors.of(name)}
    root[CUSTOMIZED] = {
        name: WIDE for name, node in known.items() if _precision(table, node) == "int16"
    }
    write_whole(path, [_yaml().safe_dump(root, sort_keys=False, indent=4, width=1 << 20).encode()])


class _Tensors:
    """The network's tensors by the names that the toolkit gives to layers."""

    def __init__(self, graph: Graph) -> None:
        self._inputs = set(graph.inputs)
        self._nodes: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for layer in node.origin or (node.name,):
                self._nodes.setdefault(layer, []).append(node)

    def of(self, name: str) -> list[Node]:
        """The nodes of a numbered layer."""
        return self._nodes.get(_NUMBERED.sub("", name), []) or self._nodes.get(name, [])

    def find(self, key: str, exact: bool = False) -> str | None:
        """The tensor of an output; None where that was folded away. exact: only the output of the
        layer that was folded last, not of those before, which the toolkit gives the same scale."""
        found = _KEY.match(key)
        if found is None or found["what"] != "out":
            return None
        plain, index = _NUMBERED.sub("", found["layer"]), int(found["index"] or 0)
        for name in (plain, found["layer"]):
            if name in self._inputs:
                return name
        nodes = self.of(found["layer"])
        if not nodes or index >= len(nodes[-1].outputs):
            return None
        last = (nodes[-1].origin or (nodes[-1].name,))[-1]
        return None if exact and last not in (plain, found["layer"]) else nodes[-1].outputs[index]


def _layer(key: str) -> str:
    """The numbered layer of a key."""
    found = _KEY.match(key)
    return found["layer"] if found else ""


def _precision(table: ScaleTable, node: Node) -> str:
    names = (node.name, *node.origin)
    return next((table.layers[name] for name in names if name in table.layers), table.precision)


def _row(entry: object, key: str, path: Path) -> tuple[TensorScale, int]:
    """An output's scale, and its bits."""
    try:
        if not isinstance(entry, Mapping):
            raise ValueError("has no fields")
        kind = entry.get("qtype")
        if kind in ("i8", "i16"):
            low, high = _number(entry, "min_value"), _number(entry, "max_value")
            low, high = min(low, 0.0), max(high, 0.0)
            fraction = _number(entry, "fl")
            if fraction % 1 or abs(fraction) > 64:
                raise ValueError(f"fl is {fraction:g}")
            return TensorScale(2.0**-fraction, 0, low, high, low, high), int(kind[1:])
        if kind != "u8":
            raise ValueError(f"qtype is {kind}, neither u8, i8 nor i16")
        scale, zero_point = _number(entry, "scale"), _number(entry, "zero_point")
        if scale < 2.0**-100 or zero_point % 1 or not 0 <= zero_point <= 255:
            raise ValueError(f"{scale:g} and {zero_point:g} are no scale and zero point")
        low, high = (float32((code - zero_point) * scale) for code in (0, 255))
        return TensorScale(scale, int(zero_point) - 128, low, high, low, high), 8
    except ValueError as error:
        raise DataError(f"{key}: {error}", file=path) from None


def _number(entry: Entry, name: str) -> float:
    """A number, alone or as the only one of a list. ValueError where it is none."""
    value = entry.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")
    try:
        number = float32(float(value))
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is no float32")
    return number


def _narrow(row: TensorScale) -> TensorScale:
    """Eight bits for the range of sixteen."""
    scale, zero_point = activation_scale(row.low, row.high, "int8")
    return TensorScale(float(scale), zero_point, row.low, row.high, row.min, row.max)


def _layers(
    root: Entry, tensors: _Tensors, precision: str, path: Path
) -> tuple[dict[str, str], list[str]]:
    """The precision of single layers, and what has to be said of them."""
    layers: dict[str, str] = {}
    warnings: list[str] = []
    for name, given in root[CUSTOMIZED].items():
        dtype = str(given)
        if dtype not in DTYPES:
            raise DataError(
                f"{CUSTOMIZED}: '{name}' is {dtype}, none of {', '.join(DTYPES)}", file=path
            )
        nodes = tensors.of(name)
        if not nodes:
            warnings.append(f"{CUSTOMIZED}: the network has no layer '{name}'")
        elif dtype.startswith("float"):
            warnings.append(f"layer '{nodes[-1].name}' is {dtype} in RKNN, INT16 here")
        layers |= {node.name: DTYPES[dtype] for node in nodes if DTYPES[dtype] != precision}
    return layers, warnings


def _fill(entry: object, row: TensorScale, key: str, path: Path) -> None:
    if not isinstance(entry, dict) or entry.get("qtype") != "u8":
        raise DataError(
            f"{key} is not of u8", file=path, remedy="let step 1 quantize to asymmetric_affine-u8"
        )
    low, high = ((code - row.zero_point) * row.scale for code in (-128, 127))
    entry |= {"max_value": [high], "min_value": [low]}
    entry |= {"zero_point": [row.zero_point + 128], "scale": [row.scale]}


def _fill_bias(
    key: str,
    entry: object,
    parameters: Entry,
    tensors: _Tensors,
    filled: Mapping[str, float],
) -> None:
    """A bias has the scale of the layer's input times that of its weights. ValueError where that
    is none."""
    name = _layer(key)
    weight, nodes = parameters.get(f"@{name}:weight"), tensors.of(name)
    if not key.endswith(":bias") or not isinstance(entry, dict) or not nodes:
        return
    read = nodes[0].inputs[:1]
    if isinstance(weight, Mapping) and weight.get("qtype") == "u8" and set(read) <= filled.keys():
        entry["scale"] = [filled[read[0]] * _number(weight, "scale")]


def _load(path: Path) -> dict[str, Any]:
    yaml = _yaml()
    try:
        root = yaml.safe_load(read_text(path, WHAT))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise DataError(f"is no {WHAT} (not YAML)", file=path, line=line) from None
    if not isinstance(root, dict) or not isinstance(root.get(PARAMETERS), dict):
        raise DataError(f"is no {WHAT}: it has no {PARAMETERS}", file=path)
    root[CUSTOMIZED] = root.get(CUSTOMIZED) or {}
    if not isinstance(root[CUSTOMIZED], dict) or not all(
        isinstance(name, str) for part in (PARAMETERS, CUSTOMIZED) for name in root[part]
    ):
        raise DataError(f"is no {WHAT}: layers have names", file=path)
    return root


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise DataError(f"a {WHAT} needs PyYAML", remedy="pip install demitasse[rknn]") from None
    return yaml
