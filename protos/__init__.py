"""Caffe's schema and its classes, kept in a descriptor pool of their own."""
