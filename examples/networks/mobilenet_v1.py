"""MobileNet V1 (Howard et al., 2017), with the names of its usual Caffe net."""

from prototxt import Net

# Name, channels and stride of the depthwise separable layers.
LAYERS = (
    ("conv2_1", 64, 1),
    ("conv2_2", 128, 2),
    ("conv3_1", 128, 1),
    ("conv3_2", 256, 2),
    ("conv4_1", 256, 1),
    ("conv4_2", 512, 2),
    ("conv5_1", 512, 1),
    ("conv5_2", 512, 1),
    ("conv5_3", 512, 1),
    ("conv5_4", 512, 1),
    ("conv5_5", 512, 1),
    ("conv5_6", 1024, 2),
    ("conv6", 1024, 1),
)


def mobilenet_v1() -> Net:
    net = Net("MobileNet", 3, 224, 224)
    inputs = 32
    x = net.relu("relu1", net.conv_norm("conv1", net.data, inputs, 3, stride=2, pad=1))
    for name, channels, stride in LAYERS:
        x = net.conv_norm(f"{name}/dw", x, inputs, 3, stride=stride, pad=1, group=inputs)
        x = net.relu(f"relu{name[4:]}/dw", x)
        x = net.relu(f"relu{name[4:]}/sep", net.conv_norm(f"{name}/sep", x, channels))
        inputs = channels
    net.softmax("prob", net.conv("fc7", net.global_average("pool6", x), 1000))
    return net
