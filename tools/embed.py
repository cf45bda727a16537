"""Turn a model into what a linker takes.

    demitasse embed net.demi -o firmware/
    demitasse embed net.demi -o firmware/ --as object --target rk3288 --section .flash.models

Writes the model (assembly that takes in the file, an object file, or C text) and a header with the
memory that it needs, shapes, scales, names and preprocessing as macros.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.firmware.embed import FORMS, embed, load
from demitasse.tools.firmware.target import find_target, target_names
from demitasse.tools.table import facts, size


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .demi")
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="write here")
    parser.add_argument(
        "--as", dest="form", choices=FORMS, default="asm", help="what becomes of the model"
    )
    parser.add_argument("--name", metavar="NAME", help="in C; that of the file without")
    parser.add_argument("--section", metavar="NAME", help=".rodata.NAME_model without")
    target(parser)


def target(parser: ArgumentParser) -> None:
    """For which machine."""
    parser.add_argument(
        "--target",
        metavar="NAME|FILE.cmake",
        default="host",
        help=f"{', '.join(target_names())}, or a toolchain file",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=shared.positive,
        help="memory for so many; the target's own number without",
    )
    parser.add_argument(
        "--prefer",
        choices=("speed", "size"),
        help="fast kernels or short ones; the same bytes come out. The target's choice without",
    )


def command(options: Namespace) -> Answer:
    machine = find_target(options.target)
    loaded = load(
        options.model,
        options.name,
        options.threads or machine.threads,
        machine.kernel_set(options.prefer),
    )
    done = embed(loaded, options.out, options.form, machine, options.section)
    needs = loaded.needs
    text = facts(
        [
            ("written", "\n".join(str(path) for path in done.files)),
            ("model", size(len(loaded.data))),
            ("memory", f"{needs.persistent:,} B persistent, {needs.arena:,} B arena"),
            ("threads", f"{needs.threads}"),
        ]
    )
    data = {
        "name": loaded.name,
        "files": done.files,
        "bytes": len(loaded.data),
        "persistent": needs.persistent,
        "arena": needs.arena,
        "threads": needs.threads,
        "kernels": needs.kernels,
    }
    return Answer(text, data)
