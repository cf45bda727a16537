"""From the graph to ONNX: one function for each operator, and a check of the result."""

from demitasse.converter.onnx.export import export_onnx

__all__ = ["export_onnx"]
