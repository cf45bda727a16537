"""SqueezeNet 1.0 and 1.1 (Iandola et al., 2016), with the authors' names.

conv10 has a pad of 1, which the authors' text of 1.1 gives up; published speeds keep it.
"""

from collections.abc import Sequence

from prototxt import Net

# Squeezed and expanded channels (of each of two kernels), fire2 to fire9.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet_1_0() -> Net:
    return _squeezenet("SqueezeNet v1.0", 96, 7, pools=(1, 4, 8))


def squeezenet_1_1() -> Net:
    return _squeezenet("SqueezeNet v1.1", 64, 3, pools=(1, 3, 5))


def _squeezenet(name: str, channels: int, kernel: int, pools: Sequence[int]) -> Net:
    """pools: the numbers of the layers that a pooling follows."""
    net = Net(name, 3, 227, 227)
    x = net.relu("relu_conv1", net.conv("conv1", net.data, channels, kernel, stride=2))
    x = net.pool("pool1", x, "MAX", 3, 2)
    for number, (squeezed, expanded) in enumerate(FIRES, 2):
        x = _fire(net, f"fire{number}", x, squeezed, expanded)
        if number in pools:
            x = net.pool(f"pool{number}", x, "MAX", 3, 2)
    x = net.dropout("drop9", x, 0.5)
    x = net.relu("relu_conv10", net.conv("conv10", x, 1000, pad=1))
    net.softmax("prob", net.global_average("pool10", x))
    return net


def _fire(net: Net, name: str, x: str, squeezed: int, expanded: int) -> str:
    x = net.relu(f"{name}/relu_squeeze1x1", net.conv(f"{name}/squeeze1x1", x, squeezed))
    one = net.relu(f"{name}/relu_expand1x1", net.conv(f"{name}/expand1x1", x, expanded))
    three = net.conv(f"{name}/expand3x3", x, expanded, 3, pad=1)
    return net.concat(f"{name}/concat", one, net.relu(f"{name}/relu_expand3x3", three))
