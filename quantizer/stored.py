"""The preprocessing inside a model.demi: for `dmt_image`, and read back for `eval` and `run`."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np

from demitasse.converter.flat import InputPreprocess, ModelFile
from demitasse.converter.flat.format import PREPROCESS
from demitasse.converter.graph import Graph
from demitasse.errors import ModelFileError
from demitasse.quantizer.preprocess import Preprocess


def to_record(preprocess: Preprocess, graph: Graph) -> tuple[InputPreprocess, ...]:
    """What the runtime needs to take raw pictures, for the graph as it will be written.

    Nothing where it cannot: an input that is no picture, several inputs, or a crop out of pictures
    of any size, which the format does not have.
    """
    if len(graph.inputs) != 1 or (preprocess.crop and preprocess.resize is None):
        return ()
    tensor = graph.tensors[graph.inputs[0]]
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or tensor.shape[1] not in (1, 3):
        return ()
    channels, quant = tensor.shape[1], tensor.quant
    if preprocess.mean_image is None:
        scale, zero_point = (quant.scale, quant.zero_point) if quant else (1.0, 0)
        table, mean = preprocess.tables(channels, tensor.dtype, scale, zero_point), None
    else:
        mean = preprocess.mean_blob(tensor.shape)
        table = np.zeros((channels, 256), tensor.dtype)
    return (
        InputPreprocess(
            input=tensor.name,
            order=preprocess.network_order(channels),
            table=table,
            scale=preprocess.scale,
            mean_image=mean,
            resize=preprocess.resize,
            letterbox=preprocess.letterbox,
        ),
    )


def from_model(model: ModelFile) -> Preprocess:
    """The preprocessing that the model was compiled with; the plain one where it has none."""
    said = model.metadata.get("preprocess")
    if not isinstance(said, dict):
        return Preprocess()
    try:
        return _restore(said, model)
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise ModelFileError(f"metadata of the preprocessing is broken ({error})") from None


def _restore(said: dict[str, Any], model: ModelFile) -> Preprocess:
    result = Preprocess(
        order=said["order"],
        mean=tuple(said["mean"]),
        scale=tuple(said["scale"]),
        resize=tuple(said["resize"]) if said["resize"] else None,
        crop=said["crop"],
        letterbox=said["letterbox"],
    )
    if said["mean_image"] is None:
        return result
    return replace(result, mean_image=_mean_image(model))


def _mean_image(model: ModelFile) -> np.ndarray:
    """float32 (C, H, W) of the first input's size, from section DATA."""
    (tensor,) = model.inputs.values()
    shape = model.tensors[tensor].shape[1:]
    offset = PREPROCESS.unpack_from(model.preprocess[0])[6]
    return np.frombuffer(model.data, "<f4", int(np.prod(shape)), offset).reshape(shape)
