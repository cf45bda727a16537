"""Which opsets there are, and the operators that they write differently."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import onnx
from onnx import TensorProto, helper

from demitasse.converter.graph import Shape
from demitasse.converter.onnx.step import Step
from demitasse.errors import UnsupportedError

OLDEST = 11
DEFAULT = 13


def runtime() -> ModuleType | None:
    """The onnxruntime module, None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime


def ir_version(opset: int) -> int:
    """The oldest file version that knows the opset: a given opset always gives the same file."""
    return int(helper.find_min_ir_version_for([helper.make_opsetid("", opset)]))


@cache
def newest() -> int:
    """The newest opset that the installed onnx and, where there is one, onnxruntime know."""
    known = range(OLDEST, onnx.defs.onnx_opset_version() + 1)
    return next(opset for opset in reversed(known) if _runs(opset))


def check_opset(opset: int) -> None:
    """Raise UnsupportedError outside of what is known here."""
    if not OLDEST <= opset <= onnx.defs.onnx_opset_version() or opset > newest():
        engine = runtime()
        versions = f"onnx {onnx.__version__}"
        if engine is not None:
            versions += f" and onnxruntime {engine.__version__}"
        raise UnsupportedError(
            f"opset {opset} is not one of {OLDEST} to {newest()}, which {versions} support"
        )


def _runs(opset: int) -> bool:
    """Whether onnxruntime, if there is one, loads a model of this opset."""
    engine = runtime()
    if engine is None:
        return True
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "one", [x], [y])
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(body, opset_imports=imports, ir_version=ir_version(opset))
    options = engine.SessionOptions()
    options.log_severity_level = 4
    with contextlib.suppress(Exception):  # each version of it raises something else
        engine.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return True
    return False


def reduce(step: Step, kind: str, x: str, axes: Sequence[int], keep: bool = True) -> str:
    """ReduceSum and its like: the axes became an input, with 13 for the sum, 18 for the others."""
    since = 13 if kind == "ReduceSum" else 18
    if step.opset >= since:
        return step.add(kind, x, step.integers(axes, "axes"), keepdims=int(keep))
    return step.add(kind, x, axes=list(axes), keepdims=int(keep))


def split(step: Step, x: str, sizes: Sequence[int], axis: int) -> tuple[str, ...]:
    """Split: the sizes became an input with 13."""
    if step.opset >= 13:
        lengths = step.integers(sizes, "sizes")
        return step.add_many("Split", (x, lengths), len(sizes), axis=axis)
    return step.add_many("Split", (x,), len(sizes), axis=axis, split=list(sizes))


def softmax(step: Step, x: str, shape: Shape, axis: int) -> str:
    """Softmax along one axis; before 13 it took all axes from `axis` on as one."""
    last = len(shape) - 1
    if step.opset >= 13 or axis == last:
        return step.add("Softmax", x, axis=axis)
    order = [a for a in range(len(shape)) if a != axis] + [axis]
    back = [order.index(a) for a in range(len(shape))]
    moved = step.add("Transpose", x, perm=order)
    return step.add("Transpose", step.add("Softmax", moved, axis=last), perm=back)
