"""EfficientNet-B0 (Tan and Le, 2019) in layers of Caffe: pads are the same on all sides."""

from prototxt import Net

# Factor of expansion, channels, blocks, stride of the first, kernel.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def efficientnet_b0() -> Net:
    net = Net("EfficientNet-B0", 3, 224, 224)
    inputs = 32
    x = _swish(net, net.conv_norm("stem", net.data, inputs, 3, stride=2, pad=1))
    for stage, (factor, channels, blocks, first, kernel) in enumerate(STAGES, 1):
        for i in range(blocks):
            stride = 1 if i else first
            name, wide = f"block{stage}{'abcd'[i]}", factor * inputs
            y = x if factor == 1 else _swish(net, net.conv_norm(f"{name}_expand", x, wide))
            y = net.conv_norm(
                f"{name}_dw", y, wide, kernel, stride=stride, pad=kernel // 2, group=wide
            )
            y = _excite(net, name, _swish(net, y), wide, inputs // 4)
            y = net.conv_norm(f"{name}_project", y, channels)
            x = net.add(f"{name}_add", x, y) if stride == 1 and channels == inputs else y
            inputs = channels
    x = _swish(net, net.conv_norm("top", x, 1280))
    net.softmax("prob", net.inner_product("fc", net.global_average("pool", x), 1000))
    return net


def _excite(net: Net, name: str, x: str, channels: int, squeezed: int) -> str:
    """Each channel times what its mean and the others' say of it."""
    y = net.conv(f"{name}_se_reduce", net.global_average(f"{name}_se_pool", x), squeezed)
    y = net.conv(f"{name}_se_expand", _swish(net, y), channels)
    y = net.layer("Sigmoid", f"{name}_se_sigmoid", y, in_place=True)
    y = net.layer("Flatten", f"{name}_se", y)
    return net.layer("Scale", f"{name}_excite", x, y, scale_param={"axis": 0})


def _swish(net: Net, x: str) -> str:
    return net.layer("Swish", f"{x}_swish", x)
