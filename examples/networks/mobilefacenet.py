"""MobileFaceNet (Chen, Liu, Gao and Han, 2018): a face of 112x112 to 128 numbers."""

from prototxt import Net

# Factor of expansion, channels, blocks, stride of the first.
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def mobilefacenet() -> Net:
    net = Net("MobileFaceNet", 3, 112, 112)
    inputs = 64
    x = _prelu(net, net.conv_norm("conv1", net.data, inputs, 3, stride=2, pad=1))
    x = _prelu(net, net.conv_norm("conv2_dw", x, inputs, 3, pad=1, group=inputs))
    for stage, (factor, channels, blocks, first) in enumerate(STAGES, 3):
        for i in range(1, blocks + 1):
            stride = first if i == 1 else 1
            name, wide = f"conv{stage}_{i}", factor * inputs
            y = _prelu(net, net.conv_norm(f"{name}_expand", x, wide))
            y = _prelu(
                net, net.conv_norm(f"{name}_dw", y, wide, 3, stride=stride, pad=1, group=wide)
            )
            y = net.conv_norm(f"{name}_project", y, channels)
            x = net.add(f"{name}_add", x, y) if stride == 1 and channels == inputs else y
            inputs = channels
    x = _prelu(net, net.conv_norm("conv8", x, 512))
    x = net.conv_norm("conv9_dw", x, 512, 7, group=512)
    net.conv_norm("fc1", x, 128)
    return net


def _prelu(net: Net, x: str) -> str:
    return net.layer("PReLU", f"{x}_prelu", x, in_place=True)
