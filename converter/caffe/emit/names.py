"""What each tensor is called in the text, where layers may write a blob in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from demitasse.converter import ops
from demitasse.converter.caffe.wiring import Names
from demitasse.converter.graph import Graph, Node

# What Caffe computes correctly where the top is the bottom.
IN_PLACE: tuple[type[ops.Operator], ...] = (
    ops.BatchNorm,
    ops.Bias,
    ops.Bnll,
    ops.Clip,
    ops.Elu,
    ops.Exp,
    ops.Identity,
    ops.Log,
    ops.PRelu,
    ops.Power,
    ops.Relu,
    ops.Scale,
    ops.Sigmoid,
    ops.Softmax,
    ops.Swish,
    ops.Tanh,
    ops.Threshold,
)

# What gives its input's memory another name or shape: the last two where there is nothing to do.
SHARING = (ops.Identity, ops.Flatten, ops.Reshape, ops.Concat, ops.Slice)


def blob_names(graph: Graph, taken: Names) -> dict[str, str]:
    """The blob of each tensor: what the user calls it. Values that followed each other in one
    blob do so again where the layer between them can work in place."""
    names: dict[str, str] = {}
    for chain, wanted in sorted(_chains(graph), key=lambda item: "@" in item[1]):
        names |= dict.fromkeys(chain, taken.unique(wanted.replace("@", "/")))
    return names


def _chains(graph: Graph) -> list[tuple[list[str], str]]:
    """The tensors that share a blob, in order of their making, and the blob's name; one that
    holds an `@` is a tensor's own. Inputs come first, since they keep theirs in any case."""
    following = _rewrites(graph)
    chains = []
    plain = {t: key for key, t in graph.blobs.items() if "@" not in key}
    plain |= {t: t for t in plain if t in graph.blobs and "@" not in t and t not in graph.outputs}
    rest = [name for name in graph.tensors if name not in graph.inputs]
    later = set(following.values())
    for name in (*graph.inputs, *(name for name in rest if name not in later)):
        chain = [name]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append((chain, name if name in graph.inputs else plain.get(chain[-1], chain[-1])))
    return chains


def _rewrites(graph: Graph) -> dict[str, str]:
    """Tensors of one blob, each with the next: its only reader's output."""
    blobs: dict[str, set[str]] = defaultdict(set)
    for key, tensor in graph.blobs.items():
        blobs[tensor].add(key.partition("@")[0])
    makers, consumers = graph.producers(), graph.consumers()
    several = {name for name, readers in consumers.items() if len(readers) > 1}
    found = {}
    for node in graph.nodes:
        if not isinstance(node.op, IN_PLACE) or len(node.outputs) != 1 or not node.inputs:
            continue
        before, after = node.inputs[0], node.outputs[0]
        alone = len(consumers[before]) == 1 and node.inputs.count(before) == 1
        if not alone or before in graph.outputs or not blobs[before] & blobs[after]:
            continue
        if not _is_shared(before, makers, {*graph.outputs, *several}):
            found[before] = after
    return found


def _is_shared(tensor: str, makers: Mapping[str, Node], kept: set[str]) -> bool:
    """Whether Caffe has a tensor of `kept`, which others read, in this one's memory."""
    maker = makers.get(tensor)
    while maker is not None and isinstance(maker.op, SHARING) and len(maker.inputs) == 1:
        if len(maker.outputs) > 1:
            return isinstance(maker.op, ops.Identity)
        if maker.inputs[0] in kept:
            return True
        maker = makers.get(maker.inputs[0])
    return False
