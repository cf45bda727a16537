"""GoogLeNet (Szegedy et al., 2014) as Caffe's model zoo has it, without what is for training."""

from prototxt import Net

# 1x1; 3x3 and what reduces before it; 5x5 likewise; behind the pool.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet() -> Net:
    net = Net("GoogleNet", 3, 224, 224)
    x = _conv(net, "conv1/7x7_s2", net.data, 64, 7, stride=2)
    x = net.lrn("pool1/norm1", net.pool("pool1/3x3_s2", x, "MAX", 3, 2))
    x = _conv(net, "conv2/3x3_reduce", x, 64, 1)
    x = net.lrn("conv2/norm2", _conv(net, "conv2/3x3", x, 192, 3))
    x = net.pool("pool2/3x3_s2", x, "MAX", 3, 2)
    for module, channels in MODULES.items():
        x = _inception(net, f"inception_{module}", x, *channels)
        if module in ("3b", "4e"):
            x = net.pool(f"pool{module[0]}/3x3_s2", x, "MAX", 3, 2)
    x = net.dropout("pool5/drop_7x7_s1", net.pool("pool5/7x7_s1", x, "AVE", 7), 0.4)
    net.softmax("prob", net.inner_product("loss3/classifier", x, 1000))
    return net


def _inception(
    net: Net,
    name: str,
    x: str,
    one: int,
    before3: int,
    three: int,
    before5: int,
    five: int,
    pool: int,
) -> str:
    return net.concat(
        f"{name}/output",
        _conv(net, f"{name}/1x1", x, one, 1),
        _conv(net, f"{name}/3x3", _conv(net, f"{name}/3x3_reduce", x, before3, 1), three, 3),
        _conv(net, f"{name}/5x5", _conv(net, f"{name}/5x5_reduce", x, before5, 1), five, 5),
        _conv(net, f"{name}/pool_proj", net.pool(f"{name}/pool", x, "MAX", 3, 1, 1), pool, 1),
    )


def _conv(net: Net, name: str, x: str, outputs: int, kernel: int, stride: int = 1) -> str:
    x = net.conv(name, x, outputs, kernel, stride=stride, pad=kernel // 2)
    return net.relu(f"{name}/relu", x)
