"""The shared recordings of real Caffe: which there are, and how to read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.graph import Graph

Blobs = dict[str, np.ndarray]

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
    "wechat_detect": "detect.caffemodel",
    "res10_ssd_face": "res10_300x300_ssd_iter_140000.caffemodel",
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
lstm mvn mvn_across mvn_nonorm pool_max_mask rnn ssd_norm_across ssd_norm_channel
phase_filtered pool_ave_floor pool_ave_floor_p1 pool_ave_global pool_ave_hw pool_ave_k2s2
pool_ave_k2s2p1_clip pool_ave_k3s1p1 pool_ave_k3s2 pool_ave_k3s2p1 pool_max_allneg_pad
pool_max_default_stride pool_max_floor pool_max_global pool_max_hw pool_max_k2s2
pool_max_k2s2p1_clip pool_max_k2s3 pool_max_k3s1p1 pool_max_k3s2p1 reshape_4d reshape_axis
reshape_insert reshape_neg_axis scale_axis0 scale_bias scale_nobias scale_numaxes_all scale_scalar
scale_two_bottoms scale_two_bottoms_se shuffle_reshape slice_axis2 slice_dim_legacy slice_even
slice_points softmax softmax_axis3 softmax_axisneg softmax_large split_fanout_inplace
ssd_detout_center ssd_detout_cornersize ssd_detout_empty ssd_detout_noshare ssd_detout_varenc
ssd_permute_0231 ssd_permute_identity ssd_permute_partial ssd_priorbox_basic ssd_priorbox_clip
ssd_priorbox_imgsize ssd_priorbox_stephw stage_level
"""


@dataclass(frozen=True)
class Recording:
    """What real Caffe was fed and what it answered.

    blobs: by `top@layer`, all values or the samples that were kept, and the blob's largest value.
    shapes: by the same keys, where they were recorded. outputs: the network's own answers.
    """

    prototxt: Path
    weights: Path | None
    inputs: Blobs
    blobs: dict[str, tuple[np.ndarray, float]]
    shapes: dict[str, list[int]]
    outputs: Blobs

    def graph(self, **options: Any) -> Graph:
        """The network as read, for the recorded input shapes."""
        shapes = {key: value.shape for key, value in self.inputs.items()}
        return load_caffe(self.prototxt, self.weights, shapes, **options)


def recorded_model(models_dir: Path, name: str) -> Recording:
    """A whole network of MODELS."""
    folder = models_dir / name
    return _read(folder / "golden.npz", folder / "deploy.prototxt", folder / MODELS[name])


def recorded_unit(models_dir: Path, name: str) -> Recording:
    """A network of one layer, of UNITS."""
    folder = models_dir / "unit"
    weights = folder / f"{name}.caffemodel"
    return _read(
        folder / f"{name}.npz",
        folder / f"{name}.prototxt",
        weights if weights.exists() else None,
    )


def _read(record: Path, prototxt: Path, weights: Path | None) -> Recording:
    with np.load(record) as arrays:
        meta = json.loads(bytes(arrays["meta"]).decode())
        inputs, blobs = recorded_inputs(arrays, meta), recorded_blobs(arrays, meta)
        outputs = {key[4:]: arrays[key] for key in arrays.files if key.startswith("out:")}
    shapes = {
        f"{top}@{layer['name']}": layer["shapes"][top]
        for layer in meta["layers"]
        if "shapes" in layer
        for top in layer["tops"]
    }
    return Recording(prototxt, weights, inputs, blobs, shapes, outputs)


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
