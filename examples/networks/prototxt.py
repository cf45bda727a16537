"""Write a deployed network as a prototxt: a layer for each call, which hands back its top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

Value = Union[
    bool, int, float, str, "Sequence[Value]", "Mapping[str, Value]"
]  # str: an enum's word


class Net:
    """The text so far. `data` is the input's blob, of one picture."""

    def __init__(self, name: str, channels: int, height: int, width: int) -> None:
        self._parts = [f'name: "{name}"\n']
        shape = {"shape": {"dim": (1, channels, height, width)}}
        self.data = self.layer("Input", "data", input_param=shape)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def layer(
        self, kind: str, name: str, *bottoms: str, in_place: bool = False, **params: Value
    ) -> str:
        """Any layer with one top, called as the layer or, in place, as the first bottom."""
        top = bottoms[0] if in_place else name
        lines = [f'name: "{name}"', f'type: "{kind}"']
        lines += [f'bottom: "{bottom}"' for bottom in bottoms]
        lines += [f'top: "{top}"']
        lines += [f"{param} {_value(fields)}" for param, fields in params.items()]
        self._parts.append("layer {\n" + "".join(f"  {line}\n" for line in lines) + "}\n")
        return top

    def conv(
        self,
        name: str,
        x: str,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        pad: int = 0,
        group: int = 1,
        bias: bool = True,
    ) -> str:
        fields: dict[str, Value] = {"num_output": outputs, "kernel_size": kernel}
        given = {
            "stride": (stride, 1),
            "pad": (pad, 0),
            "group": (group, 1),
            "bias_term": (bias, 1),
        }
        fields |= {field: value for field, (value, default) in given.items() if value != default}
        return self.layer("Convolution", name, x, convolution_param=fields)

    def norm(self, name: str, x: str) -> str:
        """BatchNorm and its Scale, in place."""
        self.layer("BatchNorm", f"{name}/bn", x, in_place=True)
        return self.layer(
            "Scale", f"{name}/scale", x, in_place=True, scale_param={"bias_term": True}
        )

    def conv_norm(
        self,
        name: str,
        x: str,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        pad: int = 0,
        group: int = 1,
    ) -> str:
        """A convolution without bias, and what normalises it."""
        x = self.conv(name, x, outputs, kernel, stride=stride, pad=pad, group=group, bias=False)
        return self.norm(name, x)

    def relu(self, name: str, x: str) -> str:
        """In place."""
        return self.layer("ReLU", name, x, in_place=True)

    def pool(self, name: str, x: str, how: str, kernel: int, stride: int = 1, pad: int = 0) -> str:
        """how: MAX or AVE."""
        fields: dict[str, Value] = {"pool": how, "kernel_size": kernel, "stride": stride}
        fields |= {"pad": pad} if pad else {}
        return self.layer("Pooling", name, x, pooling_param=fields)

    def global_average(self, name: str, x: str) -> str:
        fields: dict[str, Value] = {"pool": "AVE", "global_pooling": True}
        return self.layer("Pooling", name, x, pooling_param=fields)

    def lrn(self, name: str, x: str) -> str:
        """As AlexNet and GoogLeNet have it."""
        return self.layer(
            "LRN", name, x, lrn_param={"local_size": 5, "alpha": 0.0001, "beta": 0.75}
        )

    def inner_product(self, name: str, x: str, outputs: int) -> str:
        return self.layer("InnerProduct", name, x, inner_product_param={"num_output": outputs})

    def dropout(self, name: str, x: str, ratio: float) -> str:
        """In place; nothing when the network is used."""
        return self.layer("Dropout", name, x, in_place=True, dropout_param={"dropout_ratio": ratio})

    def concat(self, name: str, *xs: str) -> str:
        return self.layer("Concat", name, *xs)

    def add(self, name: str, *xs: str) -> str:
        return self.layer("Eltwise", name, *xs, eltwise_param={"operation": "SUM"})

    def softmax(self, name: str, x: str) -> str:
        return self.layer("Softmax", name, x)


def _value(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{ " + " ".join(_field(name, item) for name, item in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _field(name: str, value: Value) -> str:
    if isinstance(value, Mapping):
        return f"{name} {_value(value)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_field(name, item) for item in value)
    return f"{name}: {_value(value)}"
