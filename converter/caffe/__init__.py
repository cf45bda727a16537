"""Caffe: reading and writing prototxt and caffemodel."""
