"""ShuffleNet V1 1x with 3 groups (Zhang, Zhou, Lin and Sun, 2017).

ShuffleChannel is a layer of Caffe's forks. The paper's table puts an average pool beside each unit
with a stride, and joins both.
"""

from prototxt import Net

GROUPS = 3
STAGES = ((240, 4), (480, 8), (960, 4))  # channels, units


def shufflenet_v1() -> Net:
    net = Net("ShuffleNet", 3, 224, 224)
    inputs, number = 24, 1
    x = net.relu("conv1_relu", net.conv_norm("conv1", net.data, inputs, 3, stride=2, pad=1))
    x = net.pool("pool1", x, "MAX", 3, 2)
    for channels, units in STAGES:
        for unit in range(units):
            x = _unit(net, number, x, inputs, channels, 1 if unit else 2)
            inputs = channels
            number += 1
    net.softmax("prob", net.inner_product("fc1000", net.global_average("pool_ave", x), 1000))
    return net


def _unit(net: Net, number: int, x: str, inputs: int, outputs: int, stride: int) -> str:
    """The first unit, whose input has few channels, neither groups its first convolution nor
    shuffles."""
    name = f"resx{number}"
    made = outputs if stride == 1 else outputs - inputs  # the rest is the input, pooled
    few = made // 4
    groups = 1 if number == 1 else GROUPS
    y = net.relu(f"{name}_conv1_relu", net.conv_norm(f"{name}_conv1", x, few, group=groups))
    if number > 1:
        shuffle = {"group": GROUPS}
        y = net.layer("ShuffleChannel", f"shuffle{number}", y, shuffle_channel_param=shuffle)
    y = net.conv_norm(f"{name}_conv2", y, few, 3, stride=stride, pad=1, group=few)
    y = net.conv_norm(f"{name}_conv3", y, made, group=GROUPS)
    if stride == 1:
        return net.relu(f"{name}_relu", net.add(f"{name}_elewise", x, y))
    pooled = net.pool(f"{name}_match_conv", x, "AVE", 3, 2)
    return net.relu(f"{name}_relu", net.concat(f"{name}_concat", pooled, y))
