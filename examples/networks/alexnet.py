"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012) as Caffe's model zoo has it."""

from prototxt import Net


def alexnet() -> Net:
    net = Net("AlexNet", 3, 227, 227)
    x = net.relu("relu1", net.conv("conv1", net.data, 96, 11, stride=4))
    x = net.pool("pool1", net.lrn("norm1", x), "MAX", 3, 2)
    x = net.relu("relu2", net.conv("conv2", x, 256, 5, pad=2, group=2))
    x = net.pool("pool2", net.lrn("norm2", x), "MAX", 3, 2)
    x = net.relu("relu3", net.conv("conv3", x, 384, 3, pad=1))
    x = net.relu("relu4", net.conv("conv4", x, 384, 3, pad=1, group=2))
    x = net.relu("relu5", net.conv("conv5", x, 256, 3, pad=1, group=2))
    x = net.pool("pool5", x, "MAX", 3, 2)
    for i in (6, 7):
        x = net.relu(f"relu{i}", net.inner_product(f"fc{i}", x, 4096))
        x = net.dropout(f"drop{i}", x, 0.5)
    net.softmax("prob", net.inner_product("fc8", x, 1000))
    return net
