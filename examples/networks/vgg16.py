"""VGG-16, configuration D (Simonyan and Zisserman, 2014)."""

from prototxt import Net

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


def vgg16() -> Net:
    net = Net("VGG16", 3, 224, 224)
    x = net.data
    for stage, (channels, count) in enumerate(STAGES, 1):
        for i in range(1, count + 1):
            x = net.conv(f"conv{stage}_{i}", x, channels, 3, pad=1)
            x = net.relu(f"relu{stage}_{i}", x)
        x = net.pool(f"pool{stage}", x, "MAX", 2, 2)
    for i in (6, 7):
        x = net.relu(f"relu{i}", net.inner_product(f"fc{i}", x, 4096))
        x = net.dropout(f"drop{i}", x, 0.5)
    net.softmax("prob", net.inner_product("fc8", x, 1000))
    return net
