"""Outputs with as many rows as a run finds: in the file, in a run, in programs and in Python."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from demitasse.runtime import library as lib
from demitasse.runtime.model import Model
from demitasse.runtime.rows import join_rows
from tests.conftest import HostTools
from tests.runtime import builder as b
from tests.runtime.operators import NONE, words

DETECTION, TENSOR, OPERATOR = 29, 10, 11
COUNT = 256 + 3 * 28  # behind the rows
# Corners of three boxes; those of one box are (place, place, place + 1, place + 1).
PLACES = np.float32([0, 2, 4])
NOTHING = [-1] * 6


def file(**changes: object) -> b.File:
    """One class beside the background, scores above 0.5, at most three boxes that may not touch."""
    prior = np.repeat(PLACES, 4) + np.tile(np.float32([0, 0, 1, 1]), 3)
    param = words(2, 0, 1, 0, 1, np.float32(0.5), np.float32(0), np.float32(1), NONE, NONE, 0)
    return b.File(
        tensors=[
            b.Tensor((1, 12), 0, name="move"),
            b.Tensor((1, 6), 64, name="score"),
            b.Tensor((1, 1, 3, 7), 256, name="boxes", after=1, count=COUNT),
        ],
        operators=[b.Operator(DETECTION, (0, 1), 2, param, name="detect")],
        inputs=[(0, "move"), (1, "score")],
        outputs=[(2, "boxes")],
        data=np.concatenate([prior, np.ones(12, np.float32)]).tobytes(),
        arena=384,
    )


def feed(*scores: list[float]) -> dict[str, np.ndarray]:
    """A batch, the boxes where the priors are; three scores a sample."""
    pairs = np.float32([[[1 - s, s] for s in sample] for sample in scores])
    return {
        "move": np.zeros((len(scores), 12), np.float32),
        "score": pairs.reshape(len(scores), 6),
    }


def row(image: int, score: float, place: float) -> list[float]:
    return [image, 1, float(np.float32(score)), place, place, place + 1, place + 1]


@pytest.fixture
def model() -> Model:
    return Model(file().build())


def test_as_many_rows_as_are_found(model: Model) -> None:
    (info,) = model.outputs
    assert info.counted
    assert info.shape == (1, 1, 3, 7)
    for scores, rows in [
        ([0.75, 0.0, 1.0], [row(0, 1.0, 4), row(0, 0.75, 0)]),
        ([0.0, 0.0, 0.0], [[0, *NOTHING]]),
        ([0.625, 0.75, 1.0], [row(0, 1.0, 4), row(0, 0.75, 2), row(0, 0.625, 0)]),
        ([0.0, 0.625, 0.5], [row(0, 0.625, 2)]),
    ]:
        for found in (model.run(feed(scores)), model.run_quantized(feed(scores))):
            assert found["boxes"].tolist() == [[rows]]


def test_rows_of_a_batch_have_its_numbers(model: Model) -> None:
    batch = feed([0.75, 0, 0], [0, 0, 0], [0, 1, 0])
    expected = [[[row(0, 0.75, 0), row(2, 1.0, 2)]]]
    assert model.run(batch)["boxes"].tolist() == expected
    assert model.run(batch, all_blobs=True)["boxes"].tolist() == expected
    nothing = model.run(feed([0, 0, 0], [0, 0, 0]))["boxes"]
    assert nothing.tolist() == [[[[0, *NOTHING], [1, *NOTHING]]]]


def test_rows_join_as_caffe_gives_a_batch() -> None:
    empty = np.float32([[[[0, *NOTHING]]]])
    one = np.float32([[[row(0, 0.5, 1)]]])
    assert join_rows([empty, one, one])[0, 0, :, 0].tolist() == [1, 2]
    assert join_rows([empty, empty])[0, 0, :, 0].tolist() == [0, 1]
    assert empty[0, 0, 0, 0] == 0  # what was given is not changed


def test_observers_see_the_rows_too(model: Model) -> None:
    seen: dict[str, np.ndarray] = {}
    model.observe(feed([0.75, 0, 1]), seen.__setitem__)
    assert seen["boxes"].tolist() == [[[row(0, 1.0, 4), row(0, 0.75, 0)]]]


def status(data: bytes) -> int:
    memory = np.zeros(len(data) + 64, np.uint8)
    model = memory[-memory.ctypes.data % 64 :][: len(data)]
    model[:] = np.frombuffer(data, np.uint8)
    kernels = lib.load().dmt_kernels(b"generic", None)
    config = lib.Config(kernels, 1, None, None, None)
    return int(lib.load().dmt_check(config, model.ctypes.data, len(data), lib.Where()))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        *((COUNT, 0), (380, 0), (4, 0), (381, TENSOR), (384, TENSOR)),
        *((0xFFFFFFFC, TENSOR), (0, OPERATOR)),
    ],
)
def test_where_the_number_may_stand(count: int, expected: int) -> None:
    data = file().build()
    at = b.section_offset(data, "TENS") + 2 * 80 + 76
    assert status(b.patched(data, at, "I", count)) == expected


def test_a_number_needs_rows() -> None:
    """Tensors that are no rows of an image have none."""
    plain = b.chain()
    plain.tensors[1] = b.Tensor((6, 2), 64, name="middle", after=1, count=4)
    plain.operators = plain.operators[:1]
    assert status(plain.build()) == TENSOR


def test_no_view_has_more_rows_than_room(model: Model) -> None:
    """Whatever stands in the arena: before a run, nothing that was counted."""
    view = lib.View()
    model._arena[COUNT : COUNT + 4] = 255
    assert lib.load().dmt_output(model._context, 0, ctypes.byref(view)) == 0
    assert (view.rows, view.dim[2]) == (3, 3)
    assert lib.load().dmt_input(model._context, 0, ctypes.byref(view)) == 0
    assert view.rows == NONE


def test_the_program_writes_the_number_first(host_tools: HostTools, tmp_path: Path) -> None:
    (tmp_path / "net.demi").write_bytes(file().build())
    for scores, rows in [
        ([0.75, 0, 1], [row(0, 1.0, 4), row(0, 0.75, 0)]),
        ([0, 0, 0], [[0, *NOTHING]]),
    ]:
        (tmp_path / "x").write_bytes(b"".join(x.tobytes() for x in feed(scores).values()))
        for flags in ([], ["--quantized"]):
            command = [host_tools.run, "net.demi", "x", "y", *flags]
            subprocess.run(command, cwd=tmp_path, check=True)
            found = (tmp_path / "y").read_bytes()
            assert int.from_bytes(found[:4], "little") == len(rows)
            assert np.frombuffer(found[4:], "<f4").reshape(-1, 7).tolist() == rows


def test_the_readmes_loop_prints_them(root: Path, host_tools: HostTools, tmp_path: Path) -> None:
    """The README's function, compiled as it stands, in a program around it."""
    code = re.search(r"```c\n(void print_faces.*?)```", (root / "README.md").read_text(), re.DOTALL)
    assert code is not None
    runtime = root / "runtime_c"
    source = f"""
        #define _POSIX_C_SOURCE 200809L
        #include "dmt_file.h"
        {code[1]}
        int main(int count, char **argument) {{
          dmt_config config = {{dmt_kernels("generic", NULL), 1, NULL, NULL, NULL}};
          dmt_memory sizes;
          dmt_context *context = open_model("faces", argument[count - 2], &config, &sizes);
          dmt_view view;
          size_t size, at = 0;
          const float *values = read_file("faces", argument[count - 1], &size);
          for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; at += view.dim[1], i++) {{
            dmt_write_f32(&view, values + at);
          }}
          dmt_run(context);
          print_faces(context);
          return 0;
        }}"""
    (tmp_path / "faces.c").write_text(source)
    library = [*(runtime / "src").glob("*.c"), *(runtime / "kernels").glob("*/*.c")]
    objects = [
        root / "build/host/obj" / path.relative_to(runtime).with_suffix(".o") for path in library
    ]
    include = [f"-I{runtime / folder}" for folder in ("include", "src", "programs")]
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", *include]
    subprocess.run(
        [*command, "-pthread", "faces.c", *objects, "-o", "faces", "-lm"], cwd=tmp_path, check=True
    )
    (tmp_path / "net.demi").write_bytes(file().build())
    (tmp_path / "x").write_bytes(b"".join(x.tobytes() for x in feed([0.75, 0, 1]).values()))
    done = subprocess.run(
        ["./faces", "net.demi", "x"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = ["1.00 at 4.000 4.000 to 5.000 5.000", "0.75 at 0.000 0.000 to 1.000 1.000"]
    assert done.stdout.splitlines() == lines
