"""Pack models and the operators they use into one program.

    demitasse pack net.demi -o build/net --target rk3288
    demitasse pack faces.demi mask.demi -o build/both --target bare

Writes a folder that needs nothing but the target's compiler: the runtime's sources, a table of the
operators that the models use, Makefile and CMakeLists.txt, a library, a program that reads
pictures, and a self-test. Then builds it, unless --no-build, and prints what it costs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from demitasse.errors import DataError
from demitasse.quantizer.feed import read_input
from demitasse.quantizer.stored import from_model
from demitasse.tools.answer import Answer
from demitasse.tools.embed import target
from demitasse.tools.firmware.embed import Loaded, load
from demitasse.tools.firmware.pack import Footprint, build, pack
from demitasse.tools.firmware.target import find_target
from demitasse.tools.table import facts, plural, size


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", help="the .demi")
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="write here")
    parser.add_argument("--name", metavar="NAME", help="of library and program; the first model's")
    parser.add_argument(
        "--sample",
        metavar="FILE",
        help="the self-test's input, of one model with one input: a picture or .npy; noise without",
    )
    parser.add_argument("--no-build", action="store_true", help="write the folder, compile nothing")
    target(parser)


def command(options: Namespace) -> Answer:
    machine = find_target(options.target)
    threads = options.threads or machine.threads
    kernel_set = machine.kernel_set(options.prefer)
    models = [load(path, None, threads, kernel_set) for path in options.models]
    samples = _samples(models, options.sample) if options.sample else None
    packed = pack(models, options.out, machine, options.name, samples)
    built = None if options.no_build else build(packed, machine)
    rows = [
        ("written", f"{packed.folder}"),
        ("models", ", ".join(model.name for model in models)),
        ("operators", plural(len(packed.kernels), "kernel") + ": " + ", ".join(packed.kernels)),
        *(_costs(built) if built else [("build", f"make -C {packed.folder}")]),
    ]
    data = {
        "name": packed.name,
        "folder": packed.folder,
        "target": machine.name,
        "kernels": packed.kernels,
        "crc": {m.name: s.crc for m, s in zip(models, packed.samples, strict=True)},
        "footprint": built,
    }
    return Answer(facts(rows), data)


def _costs(built: Footprint) -> list[tuple[str, str]]:
    return [
        ("text", size(built.text)),
        ("rodata", f"{size(built.rodata)} and {size(built.models)} of models"),
        ("RAM", f"{size(built.ram)}, and the stack"),
    ]


def _samples(models: list[Loaded], file: str) -> Mapping[str, Mapping[str, np.ndarray]]:
    if len(models) != 1 or len(models[0].model.inputs) != 1:
        raise DataError("--sample is for one model with one input", file=file)
    model = models[0].model
    ((name, index),) = model.inputs.items()
    values = read_input(file, model.tensors[index].shape, from_model(model))
    return {models[0].name: {name: values[:1]}}
