"""Graph to graph: each pass keeps every surviving tensor's value."""

from demitasse.converter.graph import Graph
from demitasse.converter.passes.activation import fuse_activations
from demitasse.converter.passes.affine import fold_affine
from demitasse.converter.passes.batch import single_sample
from demitasse.converter.passes.constants import fold_constants
from demitasse.converter.passes.identity import drop_identities
from demitasse.converter.passes.layout import cancel_layout
from demitasse.converter.passes.order import clamp_before_pooling
from demitasse.converter.passes.priors import absorb_priors
from demitasse.converter.passes.sizes import fix_sizes

PASSES = (
    fold_constants,
    absorb_priors,
    single_sample,
    fix_sizes,
    drop_identities,
    fold_affine,
    clamp_before_pooling,
    fuse_activations,
    cancel_layout,
)


# For other programs to read: samples and activations stay as Caffe has them.
EXCHANGE = (fold_constants, drop_identities, fold_affine, cancel_layout)


def optimize(graph: Graph) -> Graph:
    """The graph as it is compiled: one sample, folded, fused, without copies."""
    for apply in PASSES:
        graph = apply(graph)
    return graph


def simplify(graph: Graph, constants: bool = True) -> Graph:
    """The graph as it is exported: folded, without copies; `constants` evaluates those too."""
    for apply in EXCHANGE if constants else EXCHANGE[1:]:
        graph = apply(graph)
    return graph


__all__ = [
    "EXCHANGE",
    "PASSES",
    "absorb_priors",
    "cancel_layout",
    "clamp_before_pooling",
    "drop_identities",
    "fold_affine",
    "fold_constants",
    "fuse_activations",
    "optimize",
    "simplify",
    "single_sample",
]
