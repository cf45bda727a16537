"""A model as something that a linker takes: assembly, an object file, or C; and its header."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.converter.flat import ModelFile, parse_model
from demitasse.converter.flat.format import ALIGN
from demitasse.errors import DataError, DemitasseError
from demitasse.tools.firmware.header import header
from demitasse.tools.firmware.kernels import Needs, needs_of
from demitasse.tools.firmware.target import Target

FORMS = ("asm", "object", "c")
# C99 promises string literals of 4095 characters; rows of an array follow one another.
ROW = 2048
LINE = 32  # bytes on one line of C
LINES = ROW // LINE
CHUNK = 256 * ROW


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, its bytes and what it needs on a target. `name` is a C identifier."""

    name: str
    path: Path
    data: bytes
    model: ModelFile
    needs: Needs


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was written."""

    loaded: Loaded
    files: tuple[Path, ...]


def load(path: Path, name: str | None, threads: int, kernel_set: str = "fast") -> Loaded:
    """Read a model and ask the runtime what it needs with a set of kernels."""
    data = path.read_bytes()
    model = parse_model(data, path)
    data = data[: model.size]
    found = identifier(path.stem if name is None else name)
    return Loaded(found, path, data, model, needs_of(data, model, path, threads, kernel_set))


def identifier(text: str) -> str:
    """A C identifier like the text. Raises DataError where nothing of it remains."""
    found = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()
    if not found:
        raise DataError(f"'{text}' makes no name in C", remedy="give --name")
    return found if found[0].isalpha() else f"net_{found}"


def embed(
    loaded: Loaded, folder: Path, form: str, target: Target, section: str | None = None
) -> Embedded:
    """Write NAME.h and the model into a folder.

    form: "asm" (NAME_model.S, which takes in NAME.demi beside it), "object" (NAME_model.o, made by
    the target's assembler), "c" (NAME_model.c, for compilers without an assembler). section: where
    the linker script wants it; .rodata.NAME_model without. Raises DemitasseError.
    """
    name = loaded.name
    section = section or f".rodata.{name}_model"
    if not re.fullmatch(r"[\w.$-]+", section, re.ASCII):
        raise DataError(f"'{section}' is no name of a section")
    folder.mkdir(parents=True, exist_ok=True)
    body = folder / f"{name}_model.{ {'asm': 'S', 'object': 'o', 'c': 'c'}[form] }"
    written = [body, folder / f"{name}.h"]
    if form == "c":
        write_whole(body, _c_source(name, loaded.data, section))
    elif form == "asm":
        written.insert(0, folder / f"{name}.demi")
        write_whole(written[0], [loaded.data])
        write_whole(body, [assembly(f"{name}_model", f"{name}.demi", section).encode()])
    else:
        _assemble(loaded, body, target, section)
    text = header(
        name,
        loaded.model,
        loaded.needs,
        len(loaded.data),
        _declaration(name, form, len(loaded.data)),
    )
    write_whole(written[-1], [text.encode()])
    return Embedded(loaded, tuple(written))


def _declaration(name: str, form: str, size: int) -> list[str]:
    rows = f"[{-(-size // ROW)}][{ROW}]" if form == "c" else f"[{size}]"
    cast = f"((const uint8_t *){name}_model)" if form == "c" else f"{name}_model"
    return [
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        f"extern const unsigned char {name}_model{rows};",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        f"#define {name.upper()}_MODEL {cast}",
    ]


def assembly(symbol: str, blob: str, section: str) -> str:
    """A source for the assembler: the bytes of a file beside it, called `symbol`."""
    macro = f"{symbol.upper()}_SECTION"
    return f"""\
/* {symbol}: the bytes of {blob}, which the assembler looks for where -I says: gcc -Wa,-I,DIR */
#ifndef {macro}
#define {macro} {section}
#endif
#define DMT_SECTION(x) .section x, "a", %progbits
    DMT_SECTION({macro})
    .balign {ALIGN}
    .global {symbol}
    .type {symbol}, %object
{symbol}:
    .incbin "{blob}"
    .size {symbol}, . - {symbol}
    .section .note.GNU-stack, "", %progbits
"""


def _assemble(loaded: Loaded, body: Path, target: Target, section: str) -> None:
    compiler = target.find_compiler()
    with tempfile.TemporaryDirectory(dir=body.parent) as folder:
        source, blob, out = (Path(folder) / name for name in ("model.S", "model.demi", "model.o"))
        blob.write_bytes(loaded.data)
        source.write_text(assembly(f"{loaded.name}_model", blob.name, section))
        command = [compiler, *target.flags, f"-Wa,-I,{folder}", "-c", str(source), "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise DemitasseError(
                f"{target.compiler} cannot assemble the model: {last}",
                remedy="take --as asm and your own assembler",
            )
        out.replace(body)


def _c_source(name: str, data: bytes, section: str) -> Iterator[bytes]:
    rows = -(-len(data) // ROW)
    yield f"""\
/* The model {name}, {len(data)} bytes, then zeros. */
#if defined(__GNUC__)
#define DMT_PLACE __attribute__((section("{section}"), aligned({ALIGN})))
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define DMT_PLACE _Alignas({ALIGN})
#else
#define DMT_PLACE /* tell your compiler: at a multiple of {ALIGN} */
#endif
extern const unsigned char {name}_model[{rows}][{ROW}];
DMT_PLACE const unsigned char {name}_model[{rows}][{ROW}] = {{
""".encode()
    codes = np.array([tuple(f"\\{byte:03o}".encode()) for byte in range(256)], np.uint8)
    for at in range(0, len(data), CHUNK):
        bytes_ = np.frombuffer(data, np.uint8, min(CHUNK, len(data) - at), at)
        padded = np.zeros(-(-len(bytes_) // ROW) * ROW, np.uint8)
        padded[: len(bytes_)] = bytes_
        # Lines `"...."` of 32 codes; behind the last of a row a comma.
        text = np.empty((len(padded) // ROW, LINES, LINE * 4 + 4), np.uint8)
        text[..., 0] = text[..., -3] = ord('"')
        text[..., 1:-3] = codes[padded].reshape(len(text), LINES, LINE * 4)
        text[..., -2] = ord(" ")
        text[:, -1, -2] = ord(",")
        text[..., -1] = ord("\n")
        yield text.tobytes()
    yield b"};\n"
