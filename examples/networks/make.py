"""Write a benchmark network: a text, and weights drawn from a seed. Nothing is downloaded.

    python examples/networks/make.py mobilenet_v1 -o mobilenet_v1
    python examples/networks/make.py --list

The same seed gives the same bytes. The networks do the work of the originals, layer by layer; what
they answer means nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from alexnet import alexnet
from efficientnet_b0 import efficientnet_b0
from googlenet import googlenet
from lenet import lenet
from mobilefacenet import mobilefacenet
from mobilenet_ssd import mobilenet_ssd
from mobilenet_v1 import mobilenet_v1
from mobilenet_v2 import mobilenet_v2
from prototxt import Net
from resnet import resnet18, resnet50
from shufflenet_v1 import shufflenet_v1
from squeezenet import squeezenet_1_0, squeezenet_1_1
from vgg16 import vgg16

import demitasse
from demitasse.converter.caffe.emit import write_caffe

NETWORKS: dict[str, Callable[[], Net]] = {
    "lenet": lenet,
    "alexnet": alexnet,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "squeezenet_1_0": squeezenet_1_0,
    "squeezenet_1_1": squeezenet_1_1,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "shufflenet_v1": shufflenet_v1,
    "efficientnet_b0": efficientnet_b0,
    "mobilefacenet": mobilefacenet,
    "mobilenet_ssd": mobilenet_ssd,
}


def make(name: str, folder: Path, seed: int = 1) -> tuple[Path, Path]:
    """Write `deploy.prototxt` and `net.caffemodel` of a network into `folder`; returns both."""
    folder.mkdir(parents=True, exist_ok=True)
    text, weights = folder / "deploy.prototxt", folder / "net.caffemodel"
    text.write_text(NETWORKS[name]().text, encoding="utf-8")
    graph = demitasse.load_caffe(text, random_weights=seed)
    with tempfile.TemporaryDirectory() as unused:  # the text is ours; only the weights are wanted
        write_caffe(graph, Path(unused) / "deploy.prototxt", weights)
    return text, weights


def main() -> int:
    parser = argparse.ArgumentParser(prog="make.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", metavar="NAME", choices=NETWORKS, help="see --list")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="folder for the two files")
    parser.add_argument("--seed", metavar="S", type=int, default=1, help="of the weights (1)")
    parser.add_argument("--list", action="store_true", help="print the names")
    options = parser.parse_args()
    if options.list:
        print("\n".join(NETWORKS))
        return 0
    if options.name is None or options.output is None:
        parser.error("give a name and -o DIR, or --list")
    try:
        for path in make(options.name, options.output, options.seed):
            print(path)
    except (demitasse.DemitasseError, OSError) as error:
        print(f"make.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
