"""From the graph to Caffe, a text and its weights: one function for each operator."""

from demitasse.converter.caffe.emit.write import write_caffe

__all__ = ["write_caffe"]
