"""MobileNet-SSD at 300x300 for the 20 classes of VOC, BatchNorm folded, with the names of its usual
Caffe net (MobileNet V1 below, SSD by Liu et al., 2016, above)."""

from prototxt import Net, Value

# Channels and stride of the depthwise separable layers conv1 to conv13.
LAYERS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))  # conv14 to conv17: before, after
# The maps that boxes are found on, and the sides of their boxes in pixels: least, most.
HEADS: dict[str, tuple[float, ...]] = {
    "conv11": (60.0,),
    "conv13": (105.0, 150.0),
    "conv14_2": (150.0, 195.0),
    "conv15_2": (195.0, 240.0),
    "conv16_2": (240.0, 285.0),
    "conv17_2": (285.0, 300.0),
}
CLASSES = 21  # with the background


def mobilenet_ssd() -> Net:
    net = Net("MobileNet-SSD", 3, 300, 300)
    inputs = 32
    x = net.relu("conv0/relu", net.conv("conv0", net.data, inputs, 3, stride=2, pad=1))
    for i, (channels, stride) in enumerate(LAYERS, 1):
        x = net.conv(f"conv{i}/dw", x, inputs, 3, stride=stride, pad=1, group=inputs)
        x = net.relu(f"conv{i}/dw/relu", x)
        x = net.relu(f"conv{i}/relu", net.conv(f"conv{i}", x, channels))
        inputs = channels
    for i, (before, after) in enumerate(EXTRAS, 14):
        x = net.relu(f"conv{i}_1/relu", net.conv(f"conv{i}_1", x, before))
        x = net.relu(f"conv{i}_2/relu", net.conv(f"conv{i}_2", x, after, 3, stride=2, pad=1))
    places = [_head(net, x, "loc", 4) for x in HEADS]
    scores = [_head(net, x, "conf", CLASSES) for x in HEADS]
    priors = [_priors(net, x) for x in HEADS]
    _detect(
        net,
        net.concat("mbox_loc", *places),
        net.concat("mbox_conf", *scores),
        net.layer("Concat", "mbox_priorbox", *priors, concat_param={"axis": 2}),
    )
    return net


def _head(net: Net, x: str, kind: str, numbers: int) -> str:
    """So many numbers for each box of a map: 3 boxes a pixel where only the least side is given, 6
    where there are two."""
    name = f"{x}_mbox_{kind}"
    y = net.conv(name, x, numbers * 3 * len(HEADS[x]))
    y = net.layer("Permute", f"{name}_perm", y, permute_param={"order": (0, 2, 3, 1)})
    return net.layer("Flatten", f"{name}_flat", y)


def _priors(net: Net, x: str) -> str:
    sizes = HEADS[x]
    fields: dict[str, Value] = {"min_size": sizes[0]}
    fields |= {"max_size": sizes[1]} if len(sizes) > 1 else {}
    fields |= {
        "aspect_ratio": (2.0, 3.0) if len(sizes) > 1 else (2.0,),
        "flip": True,
        "clip": False,
    }
    fields |= {"variance": (0.1, 0.1, 0.2, 0.2), "offset": 0.5}
    return net.layer("PriorBox", f"{x}_mbox_priorbox", x, net.data, prior_box_param=fields)


def _detect(net: Net, places: str, scores: str, priors: str) -> None:
    shape = {"shape": {"dim": (0, -1, CLASSES)}}
    x = net.layer("Reshape", "mbox_conf_reshape", scores, reshape_param=shape)
    x = net.layer("Softmax", "mbox_conf_softmax", x, softmax_param={"axis": 2})
    x = net.layer("Flatten", "mbox_conf_flatten", x)
    fields: dict[str, Value] = {
        "num_classes": CLASSES,
        "share_location": True,
        "background_label_id": 0,
        "nms_param": {"nms_threshold": 0.45, "top_k": 100},
        "code_type": "CENTER_SIZE",
        "keep_top_k": 100,
        "confidence_threshold": 0.25,
    }
    net.layer("DetectionOutput", "detection_out", places, x, priors, detection_output_param=fields)
