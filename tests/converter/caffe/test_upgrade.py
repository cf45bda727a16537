"""V0 and V1 texts, top-level inputs, phase rules and training nets."""

from __future__ import annotations

import numpy as np
import pytest

from demitasse.converter.ops import Clip, Conv2d, InnerProduct, Lrn, Pool2d, Relu, Sigmoid, Softmax
from demitasse.errors import DemitasseError, DemitasseWarning, ParseError, ShapeError

V0 = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers {
  layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 3 stride: 2 biasterm: false
          weight_filler { type: "gaussian" std: 0.01 } blobs_lr: 1. weight_decay: 1. }
  bottom: "padded" top: "conv1"
}
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 }
         bottom: "conv1" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 }
         bottom: "pool1" top: "norm1" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 } bottom: "norm1" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""

V1 = """
input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "y" blobs_lr: 1 blobs_lr: 2
         param: "w" param: "b" blob_share_mode: STRICT
         convolution_param { num_output: 2 kernel_size: 1 } }
layers { name: "again" type: 4 bottom: "data" top: "z" param: "w" param: "b"
         convolution_param { num_output: 2 kernel_size: 1 } }
layers { name: "prob" type: SOFTMAX bottom: "y" top: "prob" }
"""


def test_v0(load) -> None:
    graph = load(V0)
    assert [node.op for node in graph.nodes] == [
        Conv2d(4, (3, 3), (2, 2), (2, 2, 2, 2)),
        Relu(),
        Pool2d("average", (3, 3), (2, 2)),
        Lrn("across", 3, 0.1, 0.5),
        InnerProduct(5),
        Softmax(),
    ]
    assert graph.tensors["conv1"].shape == (1, 4, 5, 5)
    assert graph.inputs == ("data",)
    assert graph.outputs == ("prob",)


def test_v0_weights_are_needed(load) -> None:
    weights = {"conv1": [np.ones((4, 3, 3, 3))], "fc": [np.ones((5, 16)), np.ones(5)]}
    graph = load(V0, weights)
    assert graph.nodes[4].weights["bias"].shape == (5,)


def test_unknown_v0_type(load) -> None:
    text = V0.replace('"lrn"', '"odd"').replace('"softmax"', '"strange"')
    with pytest.raises(ParseError) as caught:
        load(text)
    assert "unknown V0 layer type 'odd'" in str(caught.value)
    assert "unknown V0 layer type 'strange'" in str(caught.value)


def test_padding_that_feeds_something_else(load) -> None:
    with pytest.raises(ParseError, match="can only feed a convolution or pooling"):
        load(V0.replace('type: "conv"', 'type: "relu"'))


def test_v1_types_and_shared_weights(load) -> None:
    weight, bias = np.arange(6).reshape(2, 3, 1, 1), np.arange(2)
    graph = load(V1, {"conv": [weight, bias]})
    first, second = graph.nodes[:2]
    assert first.op == second.op == Conv2d(2, (1, 1))
    np.testing.assert_array_equal(second.weights["weight"], weight)
    assert second.weights["weight"] is not None
    assert np.shares_memory(first.weights["weight"], second.weights["weight"])
    assert set(graph.output_keys()) == {"prob", "z"}


def test_v1_types_of_forks(load) -> None:
    """SegNet's and others' enums; a sequence of types that are one word in V2."""
    text = 'input: "data" input_dim: [1, 3, 5, 5]\n' + (
        'layers { name: "a" type: RELU6 bottom: "data" top: "a" }'
        'layers { name: "b" type: PERMUTE bottom: "a" top: "b" permute_param { order: [0, 2, 3] } }'
        'layers { name: "c" type: SHUFFLE_CHANNEL bottom: "a" top: "c" }'
    )
    graph = load(text)
    assert graph.nodes[0].op == Clip(0, 6)
    assert graph.tensors["b"].shape == (1, 5, 5, 3)
    assert graph.tensors["c"].shape == (1, 3, 5, 5)


def test_both_generations_in_one_text(load) -> None:
    text = V1 + 'layer { name: "r" type: "ReLU" bottom: "y" top: "r" }'
    with pytest.raises(ParseError, match="has both 'layers' and 'layer'"):
        load(text)


def net(*layers: str) -> str:
    return 'input: "data" input_shape { dim: 1 dim: 4 }\n' + "\n".join(layers)


def relu(name: str, rules: str) -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "data" top: "{name}" {rules} }}'


@pytest.mark.parametrize(
    ("rules", "options", "kept"),
    [
        ("", {}, True),
        ("include { phase: TEST }", {}, True),
        ("include { phase: 0 }", {}, False),
        ("include { phase: TRAIN } include { phase: TEST }", {}, True),
        ("include { phase: TRAIN }", {"phase": "TRAIN"}, True),
        ("exclude { phase: TRAIN }", {}, True),
        ("exclude { phase: TEST }", {}, False),
        ("include { stage: 'deploy' }", {}, False),
        ("include { stage: 'deploy' }", {"stages": ("deploy",)}, True),
        ("include { stage: 'a' stage: 'b' }", {"stages": ("a",)}, False),
        ("include { not_stage: 'deploy' }", {"stages": ("deploy",)}, False),
        ("include { not_stage: 'deploy' }", {}, True),
        ("include { min_level: 1 }", {}, False),
        ("include { min_level: 1 max_level: 2 }", {"level": 2}, True),
        ("include { max_level: 1 }", {"level": 2}, False),
        ("exclude { stage: 'a' } exclude { phase: TEST stage: 'b' }", {"stages": ("b",)}, False),
    ],
)
def test_rules(load, rules: str, options: dict, kept: bool) -> None:
    graph = load(net(relu("always", ""), relu("maybe", rules)), **options)
    assert ("maybe" in graph.tensors) is kept


def test_state_in_the_text(load) -> None:
    text = net(relu("always", ""), relu("deploy", "include { stage: 'deploy' max_level: 2 }"))
    with pytest.warns(DemitasseWarning, match="level 3 in the text is not used, as in Caffe"):
        graph = load("state { stage: 'deploy' level: 3 }" + text)
    assert "deploy" in graph.tensors


def test_include_and_exclude_together(load) -> None:
    text = net(relu("odd", "include { phase: TEST } exclude { phase: TRAIN }"))
    with pytest.raises(ParseError, match=":2: layer 'odd': has both include and exclude"):
        load(text)


def test_unknown_phase(load) -> None:
    with pytest.raises(DemitasseError, match="unknown phase 'test'; use TEST or TRAIN"):
        load(net(relu("a", "")), phase="test")


TRAIN = """
layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        data_param { source: "train" batch_size: 64 backend: LMDB } }
layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 5 } data_param { source: "test" batch_size: 10 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
        include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_training_net(load) -> None:
    with pytest.warns(match=r":\d+: layer 'loss': a loss: its Softmax is the output 'prob'"):
        graph = load(TRAIN, input_shapes={"data": (1, 1, 5, 5)})
    assert graph.inputs == ("data",)
    assert graph.outputs == ("prob",)
    assert [node.name for node in graph.nodes] == ["ip", "loss"]
    assert graph.tensors["prob"].shape == (1, 3)


def test_training_net_without_a_shape(load) -> None:
    with pytest.raises(ShapeError, match="input 'data' has no shape; give it with --input-shape"):
        load(TRAIN)
    with pytest.raises(ShapeError, match="data=1,3,5,5"):
        load(TRAIN)


@pytest.mark.parametrize(
    ("kind", "text", "shape"),
    [
        (
            "Data",
            "data_param { batch_size: 8 } transform_param { crop_size: 5 "
            "mean_value: 1 mean_value: 2 mean_value: 3 }",
            (8, 3, 5, 5),
        ),
        ("Data", "transform_param { crop_size: 5 force_gray: true }", (1, 1, 5, 5)),
        ("Data", "transform_param { crop_size: 5 mean_value: 1 }", None),
        ("Data", "transform_param { mean_value: 1 mean_value: 2 mean_value: 3 }", None),
        (
            "ImageData",
            "image_data_param { batch_size: 2 new_height: 5 new_width: 6 }",
            (2, 3, 5, 6),
        ),
        ("ImageData", "image_data_param { crop_size: 7 is_color: false }", (1, 1, 7, 7)),
        ("ImageData", "image_data_param { batch_size: 2 }", None),
        ("WindowData", "window_data_param { batch_size: 4 crop_size: 9 }", (4, 3, 9, 9)),
        ("HDF5Data", "hdf5_data_param { batch_size: 4 }", None),
    ],
)
def test_shapes_that_data_layers_tell(load, kind: str, text: str, shape: object) -> None:
    """Size and channels; one mean value may stand for any number of channels."""
    net = f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {text} }}'
    net += 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    if shape is None:
        with pytest.raises(ShapeError, match="input 'data' has no shape"):
            load(net)
    else:
        assert load(net).tensors["data"].shape == shape


def test_probabilities_of_a_loss_are_kept(load) -> None:
    text = TRAIN.replace('top: "loss"', 'top: "loss" top: "prob"')
    graph = load(text, input_shapes={"data": (1, 1, 5, 5)})
    assert graph.nodes[-1].op == Softmax()
    assert graph.outputs == ("prob",)


def test_two_losses(load) -> None:
    text = TRAIN + (
        'layer { name: "aux" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "aux" }'
        'layer { name: "one" type: "InnerProduct" bottom: "data" top: "one"'
        " inner_product_param { num_output: 1 } }"
        'layer { name: "bce" type: "SigmoidCrossEntropyLoss" bottom: "one" bottom: "label" }'
    )
    with pytest.warns(match="its Sigmoid is the output 'bce/prob'"):
        graph = load(text, input_shapes={"data": (1, 1, 5, 5)})
    assert graph.outputs == ("aux/prob", "bce/prob", "loss/prob")
    assert graph.nodes[-1].op == Sigmoid()


def test_a_loss_beside_its_softmax(load) -> None:
    """The net has what the loss would give: nothing is added. Labels of an input go too."""
    text = TRAIN + 'layer { name: "p" type: "Softmax" bottom: "ip" top: "out" }'
    graph = load(text, input_shapes={"data": (1, 1, 5, 5)})
    assert graph.outputs == ("out",)
    text = 'input: "label" input_shape { dim: 1 }' + TRAIN.replace('top: "label"', "")
    with pytest.warns(match="its Softmax is the output 'prob'"):
        graph = load(text, input_shapes={"data": (1, 1, 5, 5)})
    assert (graph.inputs, graph.outputs) == (("data",), ("prob",))


def test_what_stores_or_drops_blobs_goes(load) -> None:
    text = net(
        'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" }',
        'layer { name: "h" type: "HDF5Output" bottom: "a" hdf5_output_param { file_name: "x" } }',
        'layer { name: "q" type: "Silence" bottom: "b" }',
    )
    assert load(text).outputs == ("a",)


def test_memory_and_dummy_data(load) -> None:
    text = """
    layer { name: "m" type: "MemoryData" top: "a" top: "label"
            memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }
    layer { name: "d" type: "DummyData" top: "b" top: "c"
            dummy_data_param { num: 2 num: 7 channels: 3 height: 4 width: 5
                               data_filler { type: "gaussian" } } }
    layer { name: "cat" type: "Concat" bottom: "a" bottom: "b" bottom: "c" top: "y"
            concat_param { concat_dim: 0 } }
    layer { name: "s" type: "Silence" bottom: "label" }
    """
    graph = load(text)
    assert graph.inputs == ("a", "b", "c")
    assert graph.tensors["y"].shape == (11, 3, 4, 5)


def test_silence_hides_outputs(load) -> None:
    silence = 'layer { name: "s" type: "Silence" bottom: "a" }'
    assert load(net(relu("a", ""), relu("b", ""), silence)).outputs == ("b",)
