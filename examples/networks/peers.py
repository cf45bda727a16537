"""What ncnn takes for the same networks on an RK3288, for the report of rk3288.py.

By the same model (`predict`), from ncnn of July 2026, commit a4d2ea1d4, built for the Cortex-A17:
milliseconds by models A and B, and thousands of lines of 64 bytes that its second-level cache
missed. Networks that its benchmark lacks were written in its format, MobileNet V2's INT8 with the
same layers as in fp32; PReLU runs in fp32 there. On a board: milliseconds that ncnn's
benchmark/README.md gives for January 2022, on one thread and on four.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Modelled:
    a: float
    b: float
    misses: int


MODELLED: dict[tuple[str, str], Modelled] = {
    ("squeezenet_1_1", "fp32"): Modelled(133.3, 131.7, 1157),
    ("squeezenet_1_1", "int8"): Modelled(58.7, 63.3, 1159),
    ("mobilenet_v1", "fp32"): Modelled(250.6, 242.3, 1844),
    ("mobilenet_v1", "int8"): Modelled(83.2, 74.6, 836),
    ("mobilenet_v2", "fp32"): Modelled(153.2, 155.8, 2054),
    ("shufflenet_v1", "fp32"): Modelled(66.9, 66.9, 841),
    ("resnet18", "fp32"): Modelled(373.4, 383.4, 6257),
    ("resnet18", "int8"): Modelled(158.6, 165.3, 3057),
    ("resnet50", "fp32"): Modelled(1166.6, 1153.3, 10409),
    ("resnet50", "int8"): Modelled(409.5, 404.4, 6434),
    ("googlenet", "fp32"): Modelled(451.0, 416.7, 5002),
    ("googlenet", "int8"): Modelled(214.7, 207.4, 3212),
    ("mobilenet_ssd", "fp32"): Modelled(512.1, 498.3, 4711),
    ("mobilenet_ssd", "int8"): Modelled(167.4, 151.3, 1904),
    ("efficientnet_b0", "fp32"): Modelled(344.3, 301.6, 2428),
    ("alexnet", "fp32"): Modelled(265.0, 240.0, 3351),
    ("vgg16", "fp32"): Modelled(2076.8, 1977.3, 76131),
    ("vgg16", "int8"): Modelled(1098.5, 1066.0, 25155),
    ("mobilenet_v2", "int8"): Modelled(66.5, 62.6, 1106),
    ("mobilefacenet", "fp32"): Modelled(105.1, 100.5, 649),
    ("mobilefacenet", "int8"): Modelled(73.5, 68.0, 654),
    ("mtcnn_det1", "fp32"): Modelled(98.6, 103.2, 2288),
    ("mtcnn_det1", "int8"): Modelled(75.3, 71.5, 1782),
    ("mtcnn_det2", "fp32"): Modelled(0.62, 0.68, 0),
    ("mtcnn_det2", "int8"): Modelled(0.52, 0.52, 0),
    ("mtcnn_det3", "fp32"): Modelled(3.80, 4.37, 52),
    ("mtcnn_det3", "int8"): Modelled(2.47, 2.67, 24),
}

BOARD: dict[tuple[str, str], tuple[float, float]] = {
    ("squeezenet_1_1", "fp32"): (138.27, 56.61),
    ("squeezenet_1_1", "int8"): (85.97, 40.63),
    ("mobilenet_v1", "fp32"): (234.90, 83.91),
    ("mobilenet_v1", "int8"): (99.92, 36.15),
    ("mobilenet_v2", "fp32"): (157.76, 71.12),
    ("shufflenet_v1", "fp32"): (74.48, 37.39),
    ("resnet18", "fp32"): (355.11, 172.39),
    ("resnet18", "int8"): (205.80, 84.00),
    ("googlenet", "fp32"): (432.09, 162.56),
    ("googlenet", "int8"): (275.55, 110.35),
    ("mobilenet_ssd", "fp32"): (483.73, 175.97),
    ("mobilenet_ssd", "int8"): (208.89, 76.90),
    ("efficientnet_b0", "fp32"): (306.85, 109.95),
    ("resnet50", "fp32"): (1047.27, 403.05),
    ("resnet50", "int8"): (517.75, 205.12),
    ("vgg16", "fp32"): (2122.95, 956.95),
    ("vgg16", "int8"): (1048.53, 388.10),
}

COMPARED = (
    *("mobilenet_v1", "squeezenet_1_1", "resnet18", "googlenet", "mobilenet_ssd", "resnet50"),
)
