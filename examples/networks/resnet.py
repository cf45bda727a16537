"""ResNet-18 and ResNet-50 (He, Zhang, Ren and Sun, 2015), with the names of Caffe's nets.

As in the authors' net, a stride of ResNet-50 is in branch2a. As in ResNet-18's usual one, its res2a
has a projection, though the number of channels stays.
"""

from prototxt import Net

WIDTHS = (64, 128, 256, 512)


def resnet18() -> Net:
    net, x = _start("ResNet-18")
    for stage, width in enumerate(WIDTHS, 2):
        for block in "ab":
            stride = 2 if block == "a" and stage > 2 else 1
            name = f"{stage}{block}_branch2"
            y = net.conv_norm(f"res{name}a", x, width, 3, stride=stride, pad=1)
            y = net.relu(f"res{name}a_relu", y)
            y = net.conv_norm(f"res{name}b", y, width, 3, pad=1)
            x = _join(net, f"res{stage}{block}", x, y, width if block == "a" else 0, stride)
    return _end(net, x)


def resnet50() -> Net:
    net, x = _start("ResNet-50")
    for stage, (width, blocks) in enumerate(zip(WIDTHS, (3, 4, 6, 3), strict=True), 2):
        for block in "abcdef"[:blocks]:
            stride = 2 if block == "a" and stage > 2 else 1
            name = f"{stage}{block}_branch2"
            y = net.relu(f"res{name}a_relu", net.conv_norm(f"res{name}a", x, width, stride=stride))
            y = net.relu(f"res{name}b_relu", net.conv_norm(f"res{name}b", y, width, 3, pad=1))
            y = net.conv_norm(f"res{name}c", y, 4 * width)
            x = _join(net, f"res{stage}{block}", x, y, 4 * width if block == "a" else 0, stride)
    return _end(net, x)


def _join(net: Net, name: str, x: str, y: str, projected: int, stride: int) -> str:
    """The sum of both branches; x is projected to so many channels, or taken as it is."""
    if projected:
        x = net.conv_norm(f"{name}_branch1", x, projected, stride=stride)
    return net.relu(f"{name}_relu", net.add(name, x, y))


def _start(name: str) -> tuple[Net, str]:
    net = Net(name, 3, 224, 224)
    x = net.relu("conv1_relu", net.conv_norm("conv1", net.data, 64, 7, stride=2, pad=3))
    return net, net.pool("pool1", x, "MAX", 3, 2)


def _end(net: Net, x: str) -> Net:
    net.softmax("prob", net.inner_product("fc1000", net.global_average("pool5", x), 1000))
    return net
