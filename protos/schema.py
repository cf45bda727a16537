"""Message classes of `caffe.proto`, in a descriptor pool of their own.

A private pool lives beside pycaffe's `caffe_pb2` (which registers the same names globally), and
the serialized descriptors load with every protobuf from 4.25 on, where generated code would not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTORS = Path(__file__).with_name("caffe.desc")


@cache
def message_class(name: str) -> Any:
    """The class of one message, such as `NetParameter`. Raises KeyError for an unknown name."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"caffe.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
