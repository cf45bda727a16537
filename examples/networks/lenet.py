"""LeNet-5 as Caffe's MNIST example has it (after LeCun, Bottou, Bengio and Haffner, 1998)."""

from prototxt import Net


def lenet() -> Net:
    net = Net("LeNet", 1, 28, 28)
    x = net.conv("conv1", net.data, 20, 5)
    x = net.pool("pool1", x, "MAX", 2, 2)
    x = net.conv("conv2", x, 50, 5)
    x = net.pool("pool2", x, "MAX", 2, 2)
    x = net.relu("relu1", net.inner_product("ip1", x, 500))
    net.softmax("prob", net.inner_product("ip2", x, 10))
    return net
