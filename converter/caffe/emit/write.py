"""A graph as a prototxt and its weights."""

from __future__ import annotations

import re
from dataclasses import replace
from os import PathLike
from pathlib import Path

from demitasse.converter.caffe.emit.binary import parameters
from demitasse.converter.caffe.emit.forms import FORMS
from demitasse.converter.caffe.emit.join import join
from demitasse.converter.caffe.emit.names import blob_names
from demitasse.converter.caffe.emit.step import Layer, Net, Step
from demitasse.converter.caffe.emit.text import Value, prototxt
from demitasse.converter.caffe.hdf5 import write_hdf5
from demitasse.converter.caffe.wiring import Names
from demitasse.converter.caffe.writer import write_caffemodel
from demitasse.converter.evaluate import check_weights
from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph
from demitasse.errors import UnsupportedError

PathName = str | PathLike[str]


def write_caffe(graph: Graph, text: PathName, weights: PathName) -> None:
    """Write a float graph, folded or not, as a V2 prototxt and its weights.

    The weights are HDF5 where the name ends in `.h5`, else a caffemodel. Blobs keep the user's
    names, and layers too but for what HDF5 forbids (`_without_slashes`); a fused activation is a
    layer of its own behind its host. Layers are BVLC Caffe's where it has one that computes the
    same, else those of its forks. An input that nothing reads any more is silenced. The same graph
    gives the same bytes. Raises UnsupportedError listing all that Caffe has no layer for,
    DemitasseError where weights are missing, DataError where a file cannot be written.
    """
    path = Path(weights)
    layers = caffe_layers(graph)
    if path.suffix == ".h5":
        layers = _without_slashes(layers)
    fields: dict[str, Value] = {"name": graph.name} if graph.name else {}
    content = prototxt({**fields, "layer": [layer.text() for layer in layers]}).encode()
    stored = [layer.weights(p) for layer, p in zip(layers, parameters(layers), strict=True)]
    if path.suffix == ".h5":
        write_hdf5(path, stored)
    else:
        write_caffemodel(path, stored, graph.name)
    write_whole(Path(text), [content])


def _without_slashes(layers: list[Layer]) -> list[Layer]:
    """HDF5 takes a `/` for a folder: Caffe does not find `conv/dw` again, and stumbles over `dw`
    in the folder of `conv`. Such layers are called `conv_dw`."""
    labels = Names(layer.name for layer in layers)
    return [replace(layer, name=labels.unique(layer.name.replace("/", "_"))) for layer in layers]


def caffe_layers(graph: Graph) -> list[Layer]:
    """The layers of the text, in order. Raises as `write_caffe` does."""
    check_weights(graph)
    _check_forms(graph)
    graph = join(graph)
    net = Net(Names(node.name for node in graph.nodes), Names(graph.tensors))
    labels = _layer_names(graph, net.labels)
    names = blob_names(graph, net.blobs)
    leaves = _leaves(graph, names, net.blobs)
    for name in graph.inputs:
        net.layers.append(_input(net, names[name], graph.tensors[name].shape))
    for node in graph.nodes:
        try:
            FORMS[type(node.op)](Step(net, graph, node, names, labels[node.name]), node.op)
        except UnsupportedError as error:
            raise UnsupportedError(error.message, layer=node.name) from None
    for name, leaf in leaves.items():
        net.layers.append(Layer(net.labels.unique(leaf), "Split", (names[name],), (leaf,)))
    wanted = {leaves.get(name, names[name]) for name in graph.outputs}
    unread = [blob for blob in _unread(net.layers) if blob not in wanted]
    if unread:
        net.layers.append(Layer(net.labels.unique("silence"), "Silence", tuple(unread)))
    return net.layers


def _layer_names(graph: Graph, taken: Names) -> dict[str, str]:
    """What the main layer of each node is called: as the node is, but where a layer became several
    nodes, the one that makes its top has the layer's name (`se` in place of `se_2`)."""
    found = {}
    makers = {t: key.rpartition("@")[2] for key, t in graph.blobs.items() if "@" in key}
    for node in graph.nodes:
        maker = makers.get(node.outputs[0], "")
        if re.fullmatch(re.escape(maker) + r"_\d+", node.name):
            found[node.name] = taken.unique(maker)
    for node in graph.nodes:
        if node.name not in found:
            found[node.name] = taken.unique(node.name)
    return found


def _unread(layers: list[Layer]) -> list[str]:
    """What Caffe would take for outputs."""
    unread: dict[str, None] = {}
    for layer in layers:
        for blob in layer.bottoms:
            unread.pop(blob, None)
        unread.update(dict.fromkeys(layer.tops))
    return list(unread)


def _leaves(graph: Graph, names: dict[str, str], blobs: Names) -> dict[str, str]:
    """Outputs that need a copy to be one in Caffe, where what a layer reads is none: of a value
    that is read, and of an input that has another name as an output. The value itself gets
    another name in `names`, the copy the user's."""
    leaves = {}
    read = {name for node in graph.nodes for name in node.inputs}
    for key, name in graph.output_keys().items():
        if name in graph.inputs and names[name] != key:
            leaves[name] = blobs.unique(key)
        elif name in read and name not in graph.inputs:
            chain = [other for other, blob in names.items() if blob == names[name]]
            if set(chain) & set(graph.inputs):
                leaves[name] = blobs.unique(key)
                continue
            leaves[name] = names[name]
            names |= dict.fromkeys(chain, blobs.unique(f"{key}/value"))
    return leaves


def _input(net: Net, blob: str, shape: tuple[int, ...]) -> Layer:
    param = {"shape": {"dim": shape}}
    return Layer(net.labels.unique(blob), "Input", (), (blob,), {"input_param": param})


def _check_forms(graph: Graph) -> None:
    gaps = [node for node in graph.nodes if type(node.op) not in FORMS]
    if gaps:
        layers = ", ".join(f"'{node.name}' ({type(node.op).__name__})" for node in gaps)
        raise UnsupportedError(
            f"Caffe has no layer for {layers}", remedy="end the network before, with --outputs"
        )
