"""Model how long the benchmark networks take on an RK3288, and print a table.

    make bench-rk3288                              # hours: all, in all precisions, and the report
    make bench-rk3288 NETS=mobilenet_v1,resnet18 PRECISIONS=int8

Each network is made, compiled and run as an ARM program by `predict`, a model of the Cortex-A17
(one thread, 1.8 GHz, after a warm-up) that stands beside this repository or is named by --predict;
without it qemu-arm counts instructions. What is known is kept in build/networks and done again
only where the model file, the program or `predict` changed, so an interrupted run goes on where it
stopped. --keep writes the report, with the sizes of packed programs and this machine's threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from make import NETWORKS, make
from report import Entry, Timing, report, speed_table

import demitasse
from demitasse.converter.files import write_whole
from demitasse.converter.flat.read import read_model
from demitasse.converter.graph import Graph
from demitasse.converter.summary import summarise_model
from demitasse.errors import DemitasseWarning

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "networks"
BENCH = ROOT / "build" / "rk3288" / "dmt_bench"
HOST = ROOT / "build" / "host" / "dmt_bench"
PREDICT = ROOT.parent / "shared" / "bin" / "rk3288" / "predict"
SOURCES = ("converter", "protos", "quantizer", "examples/networks")  # what a model file depends on
REPORTING = ("rk3288.py", "report.py", "peers.py")  # and on these it does not
PRECISIONS = ("int8", "int16", "fp32")
IMAGES = 4
RECORD = 3  # of what is kept: another number makes all of it stale

# Trained networks that are only modelled where they stand beside this repository. The first level
# of MTCNN's pyramid of 640x480 pixels, for faces from 20 pixels on, has 0.6 of its size.
MODELS = ROOT.parent / "shared" / "models"
TRAINED: dict[str, tuple[int, ...]] = {
    "mtcnn_det1": (1, 3, 288, 384),
    "mtcnn_det2": (1, 3, 24, 24),
    "mtcnn_det3": (1, 3, 48, 48),
}
COMPILING = threading.Lock()


def main() -> int:
    """0, also where there is nothing to run with: nothing is wrong with that."""
    parser = argparse.ArgumentParser(prog="make bench-rk3288")
    names = [*NETWORKS, *(name for name in TRAINED if (MODELS / name).exists())]
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(names))
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="some of them")
    parser.add_argument("--predict", type=Path, default=PREDICT, help="the program that models")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="networks at a time")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the report")
    options = parser.parse_args()
    nets = _known(parser, options.nets, names)
    precisions = _known(parser, [options.precisions], PRECISIONS)
    wanted = [(name, precision) for name in nets for precision in precisions]
    tool = _tool(options.predict)
    if tool is None or not BENCH.exists():
        needed = BENCH.name if tool else f"{options.predict.name} is missing, and qemu-arm"
        print(f"NOT RUN: {needed} is missing ({_remedy(tool)})", file=sys.stderr)
        return 0
    timings: dict[tuple[str, str], Timing] = {}
    try:
        failed = _time_all(wanted, tool, options.jobs, timings)
    except KeyboardInterrupt:
        return 130
    finally:  # a run that stops early shows what it has
        entries = [Entry(*key, timings[key]) for key in wanted if key in timings]
        print(speed_table(entries))
    if options.keep is not None:
        for entry in entries:
            _measure(entry)
        write_whole(options.keep, [report(entries, wanted, _program_bytes()).encode()])
    return 2 if failed else 0


def _known(
    parser: argparse.ArgumentParser, texts: Iterable[str], names: Iterable[str]
) -> list[str]:
    """Names between commas or spaces, all where none is given. An unknown one ends the program."""
    given = [name for text in texts for name in text.replace(",", " ").split()]
    unknown = [name for name in given if name not in names]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    return given or list(names)


def _tool(predict: Path) -> Path | None:
    """What times or counts; the counter is compiled where it is wanted."""
    if predict.exists():
        return predict
    source, counter = Path(__file__).with_name("count.c"), BUILD / "count.so"
    if shutil.which("qemu-arm") is None or shutil.which("cc") is None:
        return None
    counter.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", counter, source], check=True)
    _say(f"{predict.name} is missing (name it with --predict): counting instructions")
    return counter


def _remedy(tool: Path | None) -> str:
    packages = "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross" if tool else "gcc qemu-user"
    return f"apt install {packages}"


def _time_all(
    wanted: Iterable[tuple[str, str]],
    tool: Path,
    jobs: int,
    timings: dict[tuple[str, str], Timing],
) -> bool:
    """Whether any failed; the others are done all the same."""

    def one(key: tuple[str, str]) -> bool:
        try:
            timings[key] = _timing(*key, tool)
        except (demitasse.DemitasseError, subprocess.CalledProcessError) as error:
            print(f"make bench-rk3288: {' '.join(key)}: {error}", file=sys.stderr)
            if isinstance(error, subprocess.CalledProcessError):
                print(error.stderr, file=sys.stderr)
            return False
        _say(f"{' '.join(key)}: {timings[key].said}")
        return True

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return not all([done for done in pool.map(one, wanted)])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _timing(name: str, precision: str, tool: Path) -> Timing:
    """Modelled or counted now, or before with the same files."""
    with COMPILING:
        model = _model(name, precision)
    beside = sorted(tool.parent.glob("*.*")) if tool.name != "count.so" else []
    said = _kept(
        model.with_suffix(".json"),
        [model, BENCH, *beside, tool],
        lambda: _run(f"{name} {precision}", model, tool),
    )
    return Timing(**said)


def _run(what: str, model: Path, tool: Path) -> dict[str, Any]:
    macs = summarise_model(read_model(model)).macs
    _say(f"{what}: modelling {macs / 1e6:.0f} million multiply-accumulates")
    bench: list[str | Path] = [BENCH, model, "--loops", "1"]
    if tool.name == "count.so":
        counting = ["qemu-arm", "-cpu", "cortex-a15", "-plugin", tool, *bench]
        done = subprocess.run(counting, capture_output=True, text=True, check=True)
        counted = _found(r"(\d+) instructions", done.stderr)
        return {"macs": macs, "arena": _arena(done.stdout), "instructions": counted}
    command: list[str | Path] = [tool, "--json", "--macs", str(macs), "--", *bench]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    causes = said["models"]["A"]["cycles_by_cause"]
    whole = sum(causes.values())
    return {
        "macs": macs,
        "arena": _arena(done.stderr),
        "instructions": said["instructions"],
        "a": said["ms"],
        "b": said["ms_B"],
        "pipeline": causes["pipeline"] / whole,
        "l2": causes["l2_hits"] / whole,
        "misses": said["l2_misses"],
    }


def _arena(text: str) -> int:
    """Bytes with the kernels of the board, as dmt_bench says."""
    return _found(r"arena (\d+) bytes", text)


def _found(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _model(name: str, precision: str) -> Path:
    """The compiled network, up to date; integers are calibrated on noise."""
    folder = BUILD / name
    path, kept = folder / f"{precision}.demi", folder / f"{precision}.stamp"
    files = (file for part in SOURCES for file in sorted((ROOT / part).rglob("*.py")))
    stamp = _digest(file for file in files if file.name not in REPORTING)
    if path.exists() and kept.exists() and kept.read_text(encoding="utf-8") == stamp:
        return path
    _say(f"{name} {precision}: compiling")
    with warnings.catch_warnings():  # of few images: those that calibrate also judge
        warnings.simplefilter("ignore", DemitasseWarning)
        if name in TRAINED:
            graph = _trained(name)
        else:
            text, weights = make(name, folder)
            graph = demitasse.load_caffe(text, weights)
            weights.unlink()  # made again when it is needed, which is seldom; it is large
        (key,) = graph.inputs
        shape = (IMAGES, *graph.tensors[key].shape[1:])
        images = np.random.default_rng(0).standard_normal(shape, np.float32)
        folder.mkdir(parents=True, exist_ok=True)
        demitasse.compile(graph, path, precision, data=None if precision == "fp32" else images)
    kept.write_text(stamp, encoding="utf-8")
    return path


def _trained(name: str) -> Graph:
    (weights,) = (MODELS / name).glob("*.caffemodel")
    shapes = {"data": TRAINED[name]}
    return demitasse.load_caffe(MODELS / name / "deploy.prototxt", weights, input_shapes=shapes)


def _measure(entry: Entry) -> None:
    """What the report has beyond the times: the packed program, and this machine's threads."""
    model = BUILD / entry.name / f"{entry.precision}.demi"
    label = f"{entry.name} {entry.precision}"
    known = _kept(
        model.with_suffix(".size"), [model, BENCH], lambda: {"text": _packed_bytes(label, model)}
    )
    entry.text = known["text"]
    if entry.precision == "int8" and HOST.exists():
        known = _kept(model.with_suffix(".host"), [model, HOST], lambda: _host_times(label, model))
        entry.host = known["ms"]


def _packed_bytes(what: str, model: Path) -> int | None:
    """Code and constants that a program of this model alone has; None where it cannot be built."""
    _say(f"{what}: packing")
    run = "import sys; from demitasse.tools.main import main; sys.exit(main())"
    with tempfile.TemporaryDirectory() as folder:
        pack: list[str | Path] = [
            "pack",
            model,
            "--target",
            "rk3288",
            "-o",
            Path(folder) / "out",
            "--json",
        ]
        done = subprocess.run([sys.executable, "-c", run, *pack], stdout=subprocess.PIPE)
    if done.returncode != 0:
        return None
    footprint = json.loads(done.stdout)["footprint"]
    return int(footprint["text"] + footprint["rodata"])


def _host_times(what: str, model: Path) -> dict[str, Any]:
    """The least of some runs on one and on two threads of this machine, in milliseconds."""
    _say(f"{what}: timing on this machine")
    least = {"1": float("inf"), "2": float("inf")}
    for threads in (*least, *least, *least):  # by turns: something else may run here
        command: list[str | Path] = [HOST, model, "--loops", "10", "--threads", threads]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"least ([\d.]+)", said)
        least[threads] = min(least[threads], float(found[1])) if found else 0.0
    return {"ms": list(least.values())}


def _program_bytes() -> int | None:
    """What dmt_bench has beyond an empty static program: the runtime with all its kernels."""
    compiler = os.environ.get("ARM_CC", "arm-linux-gnueabihf-gcc")
    size = re.sub("gcc$", "size", compiler)
    with tempfile.TemporaryDirectory() as folder:
        source, empty = Path(folder) / "empty.c", Path(folder) / "empty"
        source.write_text("int main(void) { return 0; }\n")
        try:
            subprocess.run([compiler, "-static", "-pthread", source, "-o", empty], check=True)
            said = subprocess.run(
                [size, BENCH, empty], capture_output=True, text=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
    ours, none = (int(line.split()[0]) for line in said.splitlines()[1:])
    return ours - none


def _kept(
    path: Path, files: Iterable[Path], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What was computed before with the same files, or now."""
    stamp = f"{RECORD} {_digest(files)}"
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("stamp") == stamp:
            return record
    record = compute()
    write_whole(path, [json.dumps({"stamp": stamp, **record}).encode()])
    return record


def _digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
