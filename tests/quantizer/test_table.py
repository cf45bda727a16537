"""The scale table and its file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer.differences import encode
from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import (
    ScaleTable,
    TensorScale,
    build_table,
    from_text,
    read_table,
    to_text,
    with_weights,
    write_table,
)


def statistics(count: int = 100) -> Statistics:
    rng = np.random.default_rng(0)
    stats = Statistics(samples={"data": np.arange(count)})
    stats.update("conv1", np.float32([[[0.0, 0.1, 25.5]]]))
    stats.update("conv/2 ü", np.float32([[[-1.0, 0.3, 1.0]]]))
    stats.update("relu", np.maximum(rng.standard_normal((1, 8, 5000)), 0).astype(np.float32))
    stats.update("dead", np.zeros((1, 2, 3), np.float32))
    return stats


def test_int8_by_hand() -> None:
    table = build_table(statistics(), "int8", "minmax")
    conv1 = table.tensor("conv1")
    assert conv1 == TensorScale(float(np.float32(0.1)), -128, 0.0, 25.5, 0.0, 25.5)
    assert table.tensor("conv/2 ü").zero_point == -1  # 127 codes below zero and 128 above
    assert table.warnings == ("tensor 'dead': all values are zero; scale 1 is used",)
    assert table.statistics == statistics().hash()
    symmetric = build_table(statistics(), "int8", "minmax", symmetric=True)
    assert symmetric.tensor("conv1").scale == float(np.float32(25.5 / 127))
    assert {t.zero_point for t in symmetric.tensors.values()} == {0}


def test_int16_is_symmetric_and_takes_the_maximum_whatever_is_asked() -> None:
    table = build_table(statistics(), "int16", "kl")
    assert (table.symmetric, table.method) == (True, "minmax")
    assert table.tensor("conv1").scale == float(np.float32(2 * 25.5 / 32767))
    assert table.tensor("conv1").zero_point == 0


def test_overrides_by_method_and_by_range() -> None:
    overrides = {"relu": "minmax", "conv1": (0.0, 51.0)}
    table = build_table(statistics(), overrides=overrides)
    assert table.tensor("relu").high == table.tensor("relu").max
    assert table.tensor("conv1").scale == float(np.float32(0.2))
    assert build_table(statistics()).tensor("relu").high != table.tensor("relu").max
    with pytest.raises(DataError, match="no statistics of tensor 'nix'"):
        build_table(statistics(), overrides={"nix": "kl"})
    with pytest.raises(DataError, match="does not hold 0"):
        build_table(statistics(), overrides={"conv1": (1.0, 2.0)})


def test_few_samples_are_said() -> None:
    assert "only 3 samples" in build_table(statistics(3)).warnings


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_round_trip(tmp_path: Path, precision: str) -> None:
    table = build_table(statistics(), precision)
    table = replace(
        with_weights(table, {"conv1": (0.1, 1e-30), "ip": (3.0,)}),
        weight_method="kl",
        weight_bits={"ip": 4},
        biases={"ip": (-0.5, 0.0)},
        rounding={"ip": encode(np.array([1, -1], np.int8))},
        equalized={"conv1": "0a"},
    )
    write_table(table, tmp_path / "x.dtable")
    assert read_table(tmp_path / "x.dtable") == table
    assert to_text(from_text(to_text(table))) == to_text(table)


def test_text_is_json_with_the_shortest_numbers_and_a_line_for_each_tensor() -> None:
    tensors = {
        "b": TensorScale(float(np.float32(0.1)), -128, 0.0, 25.5, 0.0, 25.5),
        "a": TensorScale(float(np.float32(1e-10)), 0, -1.0, 1.0, -1.0, 1.0),
    }
    table = ScaleTable(
        "int8", False, "mse", "abc", tensors, {"conv": (0.5, 0.25)}, {"fc": "int16"}, ("w",)
    )
    text = to_text(table)
    assert text == (
        "{\n"
        '  "format": "demitasse scale table",\n'
        '  "version": 1,\n'
        '  "precision": "int8",\n'
        '  "symmetric": false,\n'
        '  "method": "mse",\n'
        '  "weight_method": "max",\n'
        '  "statistics": "abc",\n'
        '  "warnings": ["w"],\n'
        '  "layers": {\n'
        '    "fc": "int16"\n'
        "  },\n"
        '  "tensors": {\n'
        '    "a": {"scale": 1e-10, "zero_point": 0, "low": -1.0, "high": 1.0, '
        '"min": -1.0, "max": 1.0},\n'
        '    "b": {"scale": 0.1, "zero_point": -128, "low": 0.0, "high": 25.5, '
        '"min": 0.0, "max": 25.5}\n'
        "  },\n"
        '  "weights": {\n'
        '    "conv": [0.5, 0.25]\n'
        "  }\n"
        "}\n"
    )
    json.loads(text)
    assert from_text(text) == table


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(DataError, match="no scale for tensor 'nix'; calibrate"):
        build_table(statistics()).tensor("nix")


GOOD = to_text(with_weights(build_table(statistics(), "int8", "minmax"), {"conv1": (0.5,)}))
GOOD16 = to_text(build_table(statistics(), "int16"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GOOD, "", "is no JSON"),
        (GOOD, "[]", "the text: an object is expected"),
        ("{\n", "{\n{", "x.dtable:2: is no JSON"),
        ("demitasse scale table", "tea table", "is no demitasse scale table of version 1"),
        ('"version": 1', '"version": 2', "is no demitasse scale table of version 1"),
        ('"int8"', '"int4"', "precision: 'int4' is none of int8, int16"),
        ('"symmetric": false', '"symmetric": 0', "symmetric: 0 is no truth value"),
        ('  "method": "minmax",\n', "", "method: missing"),
        ('"scale": 0.1', '"scale": 0', "tensors.conv1.scale: a scale has to be positive, not 0"),
        ('"scale": 0.1', '"scale": -1', "tensors.conv1.scale: a scale has to be positive"),
        ('"scale": 0.1', '"scale": "1"', 'tensors.conv1.scale: "1" is no number'),
        ('"scale": 0.1', '"scale": true', "tensors.conv1.scale: true is no number"),
        ('"scale": 0.1', '"scale": NaN', "NaN is no number"),
        ('"scale": 0.1', '"scale": 1e99', "tensors.conv1.scale: 1e+99 is no float32"),
        ('"scale": 0.1', '"scale": 1' + "0" * 400, "tensors.conv1.scale: 10000000000"),
        ('"scale": 0.1, ', "", "tensors.conv1.scale: missing"),
        ('"zero_point": -128', '"zero_point": 128', "tensors.conv1.zero_point: 128 is out of"),
        ('"zero_point": -128', '"zero_point": 1.5', "tensors.conv1.zero_point: 1.5 is no integer"),
        ('"conv/2 ü"', '"conv1"', "conv1: given twice"),
        ("[0.5]", "[0.0]", "weights.conv1: a scale has to be positive"),
        (
            '"layers": {}',
            '"layers": {"a": "int4"}',
            "layers.a: 'int4' is none of int8, int16",
        ),
        ('"layers": {}', '"layers": []', "layers: [] is no object"),
        ('"weight_method": "max"', '"weight_method": "x"', "weight_method: 'x' is none of kl, max"),
        *(
            ('"layers": {}', f'"layers": {{}}, {more}', message)
            for more, message in (
                ('"weight_bits": {"a": 5}', "weight_bits.a: 5 is neither 4 nor 8"),
                ('"weight_bits": {"a": 3}', "weight_bits.a: 3 is out of range 4..8"),
                ('"biases": {"a": [1e99]}', "biases.a: 1e+99 is no float32"),
                ('"rounding": {"a": "x"}', "rounding.a: is no zlib in base64"),
                ('"rounding": {"a": 1}', "rounding.a: 1 is no string"),
                ('"equalized": {"a": "0g"}', 'equalized.a: "0g" is not of hexadecimal digits'),
            )
        ),
        ("[0.5]", '["a"]', 'weights.conv1: "a" is no number'),
        ("[0.5]", "0.5", "weights.conv1: 0.5 is no list"),
    ],
)
def test_a_bad_table_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = tmp_path / "x.dtable"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_int16_tables_have_no_zero_point() -> None:
    with pytest.raises(DataError, match="zero_point: int16 wants 0"):
        from_text(GOOD16.replace('"zero_point": 0', '"zero_point": 1', 1))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), (b"\xff\xfe", "no text")]
)
def test_files_that_are_no_table(tmp_path: Path, content, message: str) -> None:
    path = tmp_path / "x.dtable"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.dtable: .*{message.replace('no text', 'not text')}"):
        read_table(path)
