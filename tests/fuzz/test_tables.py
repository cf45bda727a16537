"""A fuzzer of the scale tables, ours and other tools'."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st
from support.fuzzing import fuzz, survives
from support.hostile import damaged

from demitasse.converter.caffe.reader import load_caffe
from demitasse.quantizer.table import ScaleTable, TensorScale
from demitasse.quantizer.table_files import open_table, save_table

pytest.importorskip("yaml")

NET = """\
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 2, 4, 4] } } }
layer { name: "conv" type: "ConvolutionRistretto" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "msra" } }
  quantization_param { bw_layer_in: 8 bw_layer_out: 6 bw_params: 4 fl_layer_in: 3
    scale_out: 2.5 fl_params: 7 precision: DYNAMIC_FIXED_POINT } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "FcRistretto" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "msra" } }
  quantization_param { bw_layer_in: 8 scale_in: 4 bw_params: 8 scale_params: [1, 2, 0] } }
"""
NUMBERS = "max_value: [4.0], min_value: [-4.0], zero_point: [128], scale: [0.03], qtype: u8"
RKNN = f"""\
customized_quantize_layers: {{fc_7: dynamic_fixed_point-i16}}
quantize_parameters:
    '@data_0:out0': {{{NUMBERS}}}
    '@conv_1:out0': {{{NUMBERS}}}
    '@relu_2:out0': {{{NUMBERS}}}
    '@conv_1:weight': {{{NUMBERS}}}
    '@conv_1:bias': {{scale: [0.0009], qtype: i32}}
    '@fc_7:out0': {{qtype: i16, fl: [9], max_value: [4.0], min_value: [0.0]}}
"""


def test_damaged_tables(tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(NET)
    graph = load_caffe(prototxt, random_weights=1)
    row = TensorScale(0.5, 0, -64.0, 63.5, -64.0, 63.5)
    table = ScaleTable("int8", True, "mse", "", dict.fromkeys(("data", "conv", "fc"), row))
    texts = {".prototxt": NET.encode(), ".cfg": RKNN.encode()}
    for ending in (".dtable", ".table", ".cache", ".scale"):
        save_table(table, tmp_path / f"whole{ending}", graph)
        texts[ending] = (tmp_path / f"whole{ending}").read_bytes()

    def check(case: tuple[str, bytes]) -> None:
        path = tmp_path / f"damaged{case[0]}"
        path.write_bytes(case[1])
        survives(lambda: open_table(path, graph), len(case[1]))

    for ending, data in texts.items():
        (tmp_path / f"whole{ending}").write_bytes(data)
        assert open_table(tmp_path / f"whole{ending}", graph).tensors
    one = st.sampled_from(sorted(texts)).flatmap(
        lambda ending: damaged(texts[ending]).map(lambda data: (ending, data))
    )
    fuzz(one, check)
