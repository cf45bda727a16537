"""MobileNet V2 (Sandler et al., 2018), with the names of its usual Caffe net.

As there, ReLU stands for ReLU6 and the first block, too, expands: 32 channels to 32, which the
paper leaves out.
"""

from prototxt import Net

# Name, factor of expansion, channels and stride of the blocks.
BLOCKS = (
    ("2_1", 1, 16, 1),
    ("2_2", 6, 24, 2),
    ("3_1", 6, 24, 1),
    ("3_2", 6, 32, 2),
    ("4_1", 6, 32, 1),
    ("4_2", 6, 32, 1),
    ("4_3", 6, 64, 2),
    ("4_4", 6, 64, 1),
    ("4_5", 6, 64, 1),
    ("4_6", 6, 64, 1),
    ("4_7", 6, 96, 1),
    ("5_1", 6, 96, 1),
    ("5_2", 6, 96, 1),
    ("5_3", 6, 160, 2),
    ("6_1", 6, 160, 1),
    ("6_2", 6, 160, 1),
    ("6_3", 6, 320, 1),
)


def mobilenet_v2() -> Net:
    net = Net("MobileNet-V2", 3, 224, 224)
    inputs = 32
    x = net.relu("relu1", net.conv_norm("conv1", net.data, inputs, 3, stride=2, pad=1))
    for name, factor, channels, stride in BLOCKS:
        wide = factor * inputs
        y = net.conv_norm(f"conv{name}/expand", x, wide)
        y = net.relu(f"relu{name}/expand", y)
        y = net.conv_norm(f"conv{name}/dwise", y, wide, 3, stride=stride, pad=1, group=wide)
        y = net.relu(f"relu{name}/dwise", y)
        y = net.conv_norm(f"conv{name}/linear", y, channels)
        x = net.add(f"block_{name}", x, y) if stride == 1 and channels == inputs else y
        inputs = channels
    x = net.relu("relu6_4", net.conv_norm("conv6_4", x, 1280))
    net.softmax("prob", net.conv("fc7", net.global_average("pool6", x), 1000))
    return net
