"""Model how long the benchmark networks take on an RK3288, and print a table.

    make bench-rk3288                                              # hours: all, in all precisions
    make bench-rk3288 NETS=mobilenet_v1,resnet18 PRECISIONS=int8

Each network is made, compiled and run as an ARM program by `predict`, a model of the Cortex-A17
(one thread, 1.8 GHz, after a warm-up) that stands beside this repository or is named by --predict.
What has been modelled is kept in build/networks and done again only where the model file, the
program or `predict` changed, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from make import NETWORKS, make

import demitasse
from demitasse.converter.files import write_whole
from demitasse.converter.flat.read import read_model
from demitasse.converter.summary import summarise_model
from demitasse.errors import DemitasseWarning

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "networks"
BENCH = ROOT / "build" / "rk3288" / "dmt_bench"
PREDICT = ROOT.parent / "shared" / "bin" / "rk3288" / "predict"
SOURCES = ("converter", "protos", "quantizer", "examples/networks")  # what a model file depends on
PRECISIONS = ("int8", "int16", "fp32")
IMAGES = 4

# ncnn of July 2026 by the same model, in milliseconds: models A and B.
NCNN: dict[tuple[str, str], tuple[float, float]] = {
    ("squeezenet_1_1", "fp32"): (133.3, 131.7),
    ("squeezenet_1_1", "int8"): (58.7, 63.3),
    ("mobilenet_v1", "fp32"): (250.6, 242.3),
    ("mobilenet_v1", "int8"): (83.2, 74.6),
    ("mobilenet_v2", "fp32"): (153.2, 155.8),
    ("shufflenet_v1", "fp32"): (66.9, 66.9),
    ("resnet18", "fp32"): (373.4, 383.4),
    ("resnet18", "int8"): (158.6, 165.3),
    ("resnet50", "fp32"): (1166.6, 1153.3),
    ("resnet50", "int8"): (409.5, 404.4),
    ("googlenet", "fp32"): (451.0, 416.7),
    ("googlenet", "int8"): (214.7, 207.4),
    ("mobilenet_ssd", "fp32"): (512.1, 498.3),
    ("mobilenet_ssd", "int8"): (167.4, 151.3),
    ("efficientnet_b0", "fp32"): (344.3, 301.6),
    ("alexnet", "fp32"): (265.0, 240.0),
    ("vgg16", "fp32"): (2076.8, 1977.3),
    ("vgg16", "int8"): (1098.5, 1066.0),
}


@dataclass(frozen=True)
class Timing:
    """Of one inference: milliseconds by both models, and by A multiply-accumulates a cycle and the
    share of cycles that wait for memory. arena: bytes."""

    a: float
    b: float
    macs: int
    macs_per_cycle: float
    memory: float
    arena: int


def main() -> int:
    """0, also where there is nothing to run with: nothing is wrong with that."""
    parser = argparse.ArgumentParser(prog="make bench-rk3288")
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETWORKS))
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="some of them")
    parser.add_argument("--predict", type=Path, default=PREDICT, help="the program that models")
    options = parser.parse_args()
    nets = _known(parser, options.nets, NETWORKS)
    precisions = _known(parser, [options.precisions], PRECISIONS)
    for needed, remedy in (
        (BENCH, "apt install gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
        (options.predict, "name it with --predict"),
    ):
        if not needed.exists():
            print(f"NOT RUN: {needed.name} is missing ({remedy})", file=sys.stderr)
            return 0
    rows = []
    try:
        for name in nets:
            for precision in precisions:
                timing = _timing(name, precision, options.predict)
                rows.append(_row(name, precision, timing))
                _say(f"{name} {precision}: {timing.a:.1f} ms (B {timing.b:.1f})")
    except demitasse.DemitasseError as error:
        print(f"make bench-rk3288: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"make bench-rk3288: predict ended with status {error.returncode}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:  # a run that stops early shows what it has
        print(_table(rows))
    return 0


def _known(
    parser: argparse.ArgumentParser, texts: Iterable[str], names: Iterable[str]
) -> list[str]:
    """Names between commas or spaces, all where none is given. An unknown one ends the program."""
    given = [name for text in texts for name in text.replace(",", " ").split()]
    unknown = [name for name in given if name not in names]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    return given or list(names)


def _timing(name: str, precision: str, predict: Path) -> Timing:
    """Modelled now, or before with the same files."""
    model = _model(name, precision)
    kept = model.with_suffix(".json")
    stamp = _digest([model, BENCH, *sorted(predict.parent.glob("*.*")), predict])
    if kept.exists():
        record = json.loads(kept.read_text(encoding="utf-8"))
        if record.pop("stamp") == stamp:
            return Timing(**record)
    macs = summarise_model(read_model(model)).macs
    _say(f"{name} {precision}: modelling {macs / 1e6:.0f} million multiply-accumulates")
    command: list[str | Path] = [
        predict,
        "--json",
        "--macs",
        str(macs),
        "--",
        BENCH,
        model,
        "--loops",
        "1",
    ]
    said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    cycles = said["models"]["A"]["cycles_by_cause"]
    timing = Timing(
        a=said["ms"],
        b=said["ms_B"],
        macs=macs,
        macs_per_cycle=said["macs_per_cycle"],
        memory=1 - cycles["pipeline"] / sum(cycles.values()),
        arena=demitasse.Model.open(model, kernels="generic").memory.arena,
    )
    write_whole(kept, [json.dumps({"stamp": stamp, **asdict(timing)}).encode()])
    return timing


def _model(name: str, precision: str) -> Path:
    """The compiled network, up to date; integers are calibrated on noise."""
    folder = BUILD / name
    path, kept = folder / f"{precision}.demi", folder / f"{precision}.stamp"
    files = (file for part in SOURCES for file in sorted((ROOT / part).rglob("*.py")))
    stamp = _digest(files)
    if path.exists() and kept.exists() and kept.read_text(encoding="utf-8") == stamp:
        return path
    _say(f"{name} {precision}: compiling")
    text, weights = make(name, folder)
    with warnings.catch_warnings():  # of few images: those that calibrate also judge
        warnings.simplefilter("ignore", DemitasseWarning)
        graph = demitasse.load_caffe(text, weights)
        (key,) = graph.inputs
        shape = (IMAGES, *graph.tensors[key].shape[1:])
        images = np.random.default_rng(0).standard_normal(shape, np.float32)
        demitasse.compile(graph, path, precision, data=None if precision == "fp32" else images)
    weights.unlink()  # made again when it is needed, which is seldom; it is large
    kept.write_text(stamp, encoding="utf-8")
    return path


def _digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _row(name: str, precision: str, timing: Timing) -> tuple[str, ...]:
    peer = ("", "", "")
    if ncnn := NCNN.get((name, precision)):
        faster = f"{ncnn[0] / timing.a:.2f} / {ncnn[1] / timing.b:.2f}"
        peer = (f"{ncnn[0]:.1f}", f"{ncnn[1]:.1f}", faster)
    return (
        name,
        precision,
        f"{timing.macs / 1e6:.1f}",
        f"{timing.a:.1f}",
        f"{timing.b:.1f}",
        f"{timing.macs_per_cycle:.2f}",
        f"{100 * timing.memory:.0f} %",
        f"{timing.arena / 1024:.0f}",
        *peer,
    )


HEAD = (
    *("network", "precision", "MMAC", "ms, model A", "ms, B", "MAC/cycle", "waits for memory"),
    *("arena, KiB", "ncnn, ms, A", "ncnn, B", "times faster, A / B"),
)


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Two columns are texts, the others numbers."""
    rule = ["---" if i < 2 else "---:" for i in range(len(HEAD))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEAD, rule, *rows))


if __name__ == "__main__":
    sys.exit(main())
