"""Layers that we do not read: why, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.upgrade import Layer

PLUGIN = "read it with --plugin FILE, see examples/plugins/README.md"

# What no device can run, and why.
HOST_LAYERS = {
    "Proposal": "proposes regions, which is the host's work",
    "Filter": "passes on a number of samples that only a run tells",
    "RPNProposal": "proposes regions, which is the host's work",
    "ProposalTarget": "samples regions to train with",
    "AnchorTarget": "samples regions to train with",
}


def refusal(layer: Layer, made: Iterable[str], known: Iterable[str]) -> tuple[str, str]:
    """What to say of a layer whose type nobody reads, and the remedy; `made` are those of its
    bottoms that other layers make."""
    kind = layer.type
    if not kind:
        return "a layer without a type", "give it one"
    if kind == "Python":
        params = Params("python_param", layer.param("python_param"))
        name = f"{params.string('module')}.{params.string('layer')}"
        return f"layer type 'Python' runs {name}, which is Python code of the host", _cut(made)
    if kind in HOST_LAYERS:
        return f"layer type '{kind}' {HOST_LAYERS[kind]}", _cut(made)
    near = get_close_matches(kind.lower(), [name.lower() for name in known], 1, 0.75)
    names = [name for name in known if near and name.lower() == near[0]]
    hint = f"is it {names[0]}? Else " if names else ""
    return f"unknown layer type '{kind}'", hint + PLUGIN


def _cut(made: Iterable[str]) -> str:
    """The way out: end the net before the layer, or read it by a plug-in."""
    outputs = ",".join(made)
    return f"end the network before it, --outputs {outputs}, or {PLUGIN}" if outputs else PLUGIN
