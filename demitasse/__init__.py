"""Demitasse: from a trained Caffe network to a small integer binary for small processors.

The public names live in the parts (``converter``, ``quantizer``, ``runtime``, ...) and are loaded
on first use, so that ``import demitasse`` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from demitasse.errors import DemitasseError

if TYPE_CHECKING:  # what _HOMES says, for type checkers
    from demitasse.converter.caffe.reader import load_caffe
    from demitasse.converter.evaluate import evaluate
    from demitasse.converter.onnx.export import export_onnx
    from demitasse.quantizer.compile import compile
    from demitasse.runtime.model import Model

__version__ = "0.1.0"

__all__ = [
    "DemitasseError",
    "Model",
    "__version__",
    "compile",
    "evaluate",
    "export_onnx",
    "load_caffe",
]

_HOMES = {
    "Model": "demitasse.runtime.model",
    "compile": "demitasse.quantizer.compile",
    "evaluate": "demitasse.converter.evaluate",
    "export_onnx": "demitasse.converter.onnx.export",
    "load_caffe": "demitasse.converter.caffe.reader",
}


def __getattr__(name: str) -> object:
    """Load a public name from its home, once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'demitasse' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
