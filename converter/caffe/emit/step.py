"""What a form works with: one node of the graph, and the layers that are made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from demitasse.converter.caffe.emit.text import Fields, Value
from demitasse.converter.caffe.wiring import Names
from demitasse.converter.caffe.writer import WeightLayer
from demitasse.converter.graph import Graph, Node, Shape


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of the text with its blobs; `params` holds its messages (`convolution_param`)."""

    name: str
    type: str
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    params: Mapping[str, Fields] = field(default_factory=dict)
    arrays: tuple[np.ndarray, ...] = ()

    def text(self) -> Fields:
        """The fields as they are written. A message without fields is left out."""
        fields: dict[str, Value] = {"name": self.name, "type": self.type}
        fields |= {"bottom": self.bottoms, "top": self.tops}
        return fields | {name: param for name, param in self.params.items() if param}

    def weights(self, parameters: bytes) -> WeightLayer:
        """The layer of a weight file, which holds the messages too."""
        return WeightLayer(self.name, self.type, self.bottoms, self.tops, self.arrays, parameters)


@dataclass
class Net:
    """The layers so far, and what names are taken."""

    labels: Names
    blobs: Names
    layers: list[Layer] = field(default_factory=list)


class Step:
    """One node: its blobs by their names in the text, and where its layers go."""

    def __init__(
        self, net: Net, graph: Graph, node: Node, names: Mapping[str, str], label: str
    ) -> None:
        self._net, self._node = net, node
        self._label: str | None = label
        self.inputs = tuple(names[name] for name in node.inputs)
        self.outputs = tuple(names[name] for name in node.outputs)
        self.shapes = graph.shapes(node.inputs)
        self.output_shapes = graph.shapes(node.outputs)
        self.weights = node.weights

    @property
    def shape(self) -> Shape:
        """The first input's shape."""
        return self.shapes[0]

    @property
    def in_place(self) -> bool:
        """Whether the node writes the blob that it reads."""
        return self.inputs[:1] == self.outputs[:1]

    def layer(
        self,
        kind: str,
        param: str = "",
        fields: Fields | None = None,
        arrays: Iterable[np.ndarray] = (),
        *,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        """Add a layer; without `inputs` and `outputs` it spans those of the node. The first one
        has the node's name, others a name of their own unless `label` is given."""
        name, self._label = self._label, None
        if name is None:
            name = self._net.labels.unique(label or f"{self._node.name}/{kind.lower()}")
        self._net.layers.append(
            Layer(
                name,
                kind,
                tuple(self.inputs if inputs is None else inputs),
                tuple(self.outputs if outputs is None else outputs),
                {param: fields or {}} if param else {},
                tuple(arrays),
            )
        )

    def parameter(self, top: str, value: np.ndarray) -> None:
        """A constant: a parameter of the network with nothing to compute."""
        fields = {"shape": {"dim": value.shape}}
        self.layer("Parameter", "parameter_param", fields, [value], inputs=(), outputs=(top,))

    def blob(self, suffix: str) -> str:
        """A name for a value between two layers of this node."""
        return self._net.blobs.unique(f"{self._node.name}/{suffix}")

    @property
    def last_origin(self) -> str | None:
        """The layer that was fused into the node last."""
        origin = self._node.origin
        return origin[-1] if len(origin) > 1 else None

    def stored(self, *keys: str) -> list[np.ndarray]:
        """Those of the named weights that there are, in this order."""
        return [self.weights[key] for key in keys if key in self.weights]
