"""The flat back end: layout, memory plan, packing and the bytes of model.demi."""

from demitasse.converter.flat.read import ModelFile, parse_model, read_model
from demitasse.converter.flat.serialise import FlatInfo, InputPreprocess, serialise, write_model

__all__ = [
    "FlatInfo",
    "InputPreprocess",
    "ModelFile",
    "parse_model",
    "read_model",
    "serialise",
    "write_model",
]
