"""Every blob that real Caffe recorded, against the NumPy reference of what was read."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.errors import DemitasseError, DemitasseWarning, UnsupportedError

TOLERANCE = 1e-4  # of the blob's largest absolute value

MODELS = {
    "lenet_mnist": "lenet_iter_10000.caffemodel",
    "cifar10_quick_v1": "cifar10_quick_iter_5000.caffemodel",
    "cifar10_quick_h5": "cifar10_quick_iter_5000.caffemodel.h5",
    "cifar100_quick": "cifar100_quick_iter_4000.caffemodel",
    "cifar10_full_v1": "cifar10_full_iter_70000.caffemodel",
    "cmsisnn_cifar10_m4": "cifar10_m4_iter_70000.caffemodel.h5",
    "mtcnn_det1": "det1.caffemodel",
    "mtcnn_det2": "det2.caffemodel",
    "mtcnn_det3": "det3.caffemodel",
    "ultraface_rfb320": "RFB-320.caffemodel",
    "ultraface_slim320": "slim-320.caffemodel",
    "mobilefacenet_rk": "mobilefacenet.caffemodel",
    "hyperlpr_charrec": "CharacterRecognization.caffemodel",
    "hyperlpr_segmentation": "Segmentation.caffemodel",
    "hyperlpr_finemap": "HorizonalFinemapping.caffemodel",
    "hyperlpr_finemap_v1": "HorizonalFinemapping.caffemodel",
    "vanface_landmark": "VanFace.caffemodel",
    "wechat_sr": "sr.caffemodel",
    "mobilenet_yolov3_lite": "mobilenet_yolov3_lite_deploy_iter_50000.caffemodel",
}

# One layer each, from real Caffe, of the types that are read.
UNITS = """
act_absval act_elu act_leaky act_power_frac act_power_linear act_power_zero act_prelu act_prelu_2d
act_prelu_shared act_sigmoid act_tanh bias bias_two_bottoms bn_2d bn_default bn_eps bn_scale0
bn_scale1 concat_axis0 concat_axis2 concat_default concat_dim_legacy concat_single conv_11x11s4
conv_1x1 conv_basic conv_bn_scale_relu_inplace conv_depthwise conv_dilation2 conv_dilation_hw
conv_group2 conv_kernel_eq_input conv_kernel_hw conv_multi_bottom_shared conv_pad_gt_kernel
conv_pad_stride conv_repeated_kernel conv_shared_param_names conv_stride3_trunc crop_axis2
deconv_basic deconv_bilinear deconv_dilation deconv_group deconv_hw deconv_k3s2 elt_default_3
elt_max elt_prod elt_sum elt_sum_coeff flatten_1_2 flatten_axis2 ip ip_2d ip_axis2 ip_nobias
ip_transpose lrn_across_channels lrn_across_channels_3 lrn_default lrn_k2 lrn_within_channel_3
phase_filtered pool_ave_floor pool_ave_floor_p1 pool_ave_global pool_ave_hw pool_ave_k2s2
pool_ave_k2s2p1_clip pool_ave_k3s1p1 pool_ave_k3s2 pool_ave_k3s2p1 pool_max_allneg_pad
pool_max_default_stride pool_max_floor pool_max_global pool_max_hw pool_max_k2s2
pool_max_k2s2p1_clip pool_max_k2s3 pool_max_k3s1p1 pool_max_k3s2p1 reshape_4d reshape_axis
reshape_insert reshape_neg_axis scale_axis0 scale_bias scale_nobias scale_numaxes_all scale_scalar
scale_two_bottoms scale_two_bottoms_se shuffle_reshape slice_axis2 slice_dim_legacy slice_even
slice_points softmax softmax_axis3 softmax_axisneg softmax_large split_fanout_inplace
ssd_permute_0231 ssd_permute_identity ssd_permute_partial stage_level
"""


def read_meta(arrays: Any) -> dict[str, Any]:
    return json.loads(bytes(arrays["meta"]).decode())


def recorded_inputs(arrays: Any, meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """What Caffe was fed: stored as it is, or as pictures with mean and scale."""
    inputs = {}
    for key in arrays.files:
        kind, _, name = key.partition(":")
        if kind == "input":
            inputs[name] = arrays[key]
        elif kind == "input_u8":
            made = meta["inputs"][name]
            mean = np.float32(made["mean"]).reshape(1, -1, 1, 1)
            inputs[name] = (arrays[key].astype(np.float32) - mean) * np.float32(made["scale"])
    return inputs


def recorded_blobs(arrays: Any, meta: dict[str, Any]) -> dict[str, tuple[np.ndarray, float]]:
    """By `top@layer`: all values, or the samples that were kept, and the blob's largest value."""
    found = {}
    for layer in meta["layers"]:
        if layer["type"] in ("Split", "Input"):
            continue
        for top in layer["tops"]:
            key = f"{layer['idx']:03d}:{top}"
            full = f"L{key}" in arrays
            values = arrays[f"L{key}" if full else f"S{key}"]
            largest = np.nanmax(np.abs(values))
            if "stats" in layer:
                largest = max(abs(value) for value in layer["stats"][top][:2])
            found[f"{top}@{layer['name']}"] = (values, float(largest))
    return found


def difference(found: np.ndarray, expected: np.ndarray, largest: float) -> float:
    """Largest error as a share of the blob's largest absolute value. Equal infinities and NaN
    (empty pooling windows) count as equal."""
    if expected.shape != found.shape:
        assert expected.ndim == 1  # samples
        at = np.linspace(0, found.size - 1, min(found.size, 256)).astype(np.int64)
        found = found.ravel()[at]
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0, np.abs(found.astype(np.float64) - expected))
    return float(error.max()) / max(largest, 1e-30)


@pytest.mark.parametrize("name", MODELS)
def test_models(models_dir: Path, name: str) -> None:
    folder = models_dir / name
    with np.load(folder / "golden.npz") as arrays:
        meta = read_meta(arrays)
        inputs, expected = recorded_inputs(arrays, meta), recorded_blobs(arrays, meta)
    shapes = {key: x.shape for key, x in inputs.items()}
    graph = load_caffe(folder / "deploy.prototxt", folder / MODELS[name], shapes)
    blobs = evaluate(graph, inputs, all_blobs=True)
    recorded = {
        f"{top}@{layer['name']}": layer for layer in meta["layers"] for top in layer["tops"]
    }
    for key, (values, largest) in expected.items():
        shape = recorded[key]["shapes"][key.rpartition("@")[0]]
        assert list(graph.tensors[graph.blobs[key]].shape) == list(blobs[key].shape) == shape
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


@pytest.mark.parametrize("name", UNITS.split())
def test_units(models_dir: Path, name: str) -> None:
    folder = models_dir / "unit"
    model = folder / f"{name}.caffemodel"
    graph = load_caffe(folder / f"{name}.prototxt", model if model.exists() else None)
    with np.load(folder / f"{name}.npz") as arrays:
        meta = read_meta(arrays)
        inputs, expected = recorded_inputs(arrays, meta), recorded_blobs(arrays, meta)
        outputs = {key[4:]: arrays[key] for key in arrays.files if key.startswith("out:")}
    assert list(graph.output_keys()) == sorted(outputs)
    for key, values in outputs.items():
        expected[key] = (values, float(np.nanmax(np.abs(values))))
    blobs = evaluate(graph, inputs, all_blobs=True)
    for key, (values, largest) in expected.items():
        assert blobs[key].shape == values.shape
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


# Where we read on and Caffe stops: a fork's layer type, and a field that it does not know.
READ_ALL_THE_SAME = {"unknown_layer_type", "unknown_field"}


def test_texts_that_caffe_refuses(models_dir: Path) -> None:
    verdicts = (models_dir / "unit_invalid" / "EXPECTED.txt").read_text().splitlines()
    judged = [line.split()[:2] for line in verdicts if " REJECT " in line or " ACCEPT " in line]
    assert len(judged) >= 16
    for name, verdict in judged:
        refused = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DemitasseWarning)
            try:
                load_caffe(models_dir / "unit_invalid" / f"{name}.prototxt")
            except DemitasseError as error:
                refused = error
        assert (refused is not None) == (verdict == "REJECT" and name not in READ_ALL_THE_SAME), (
            f"{name}: {verdict}, {refused}"
        )


def test_public_texts(models_dir: Path) -> None:
    """Shapes and outputs of public texts that Caffe accepts and whose layers we know."""
    verdicts = json.loads((models_dir / "zoo" / "shapes_from_caffe.json").read_text())
    compared = 0
    for name, verdict in verdicts.items():
        accepted = "OK" in (verdict["bvlc"], verdict["ssd"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DemitasseWarning)
            try:
                graph = load_caffe(models_dir / "zoo" / name)
            except UnsupportedError:
                continue
            except DemitasseError as error:
                assert not accepted, error  # noqa: PT017
                continue
        if accepted:
            net = verdict["net"]
            found = {key: list(graph.tensors[t].shape) for key, t in graph.blobs.items()}
            shapes = {k: s for k, s in net["shapes"].items() if "_split_" not in k}
            assert {key: found.get(key) for key in shapes} == shapes, name
            assert sorted(graph.output_keys()) == sorted(net["outputs"]), name
            compared += 1
    assert compared >= 15


def test_weights_of_another_net(models_dir: Path) -> None:
    """The upstream deploy of this model has 100 classes, its weights 20."""
    folder = models_dir / "cifar100_quick"
    with pytest.raises(DemitasseError, match=r"expected \(100, "):
        load_caffe(folder / "deploy_orig_100.prototxt", folder / MODELS["cifar100_quick"])


def test_training_text(models_dir: Path) -> None:
    folder = models_dir / "cifar10_quick_v1"
    model = folder / MODELS["cifar10_quick_v1"]
    train = load_caffe(folder / "train_test.prototxt", model, {"data": (1, 3, 32, 32)})
    deploy = load_caffe(folder / "deploy.prototxt", model)
    assert train.inputs == ("data",)
    assert [node.op for node in train.nodes] == [node.op for node in deploy.nodes[:-1]]
