"""Readers of Caffe's layers, one file a family: `*_param` by name, Caffe's defaults beside."""
