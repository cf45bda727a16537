"""Damaged models with a repaired checksum: refused, or run without touching foreign memory.

`runtime_c/tests/mutate.c` does the work; the sanitizers, or canaries of the allocator, judge.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.runtime import builder as b

BUILDS = {
    "sanitized": "-O1 -g -fsanitize=address,undefined,float-cast-overflow "
    "-fno-sanitize-recover=all",
    "fast": "-O3",
}


def seeds() -> list[bytes]:
    """Small models that use every kind of record."""
    picture = b.File(
        tensors=[b.Tensor((1, 3, 4, 5), dtype="int8", scale=0.5, name="data")],
        inputs=[(0, "data")],
        outputs=[(0, "data")],
        prep=[b.Prep(order=1, resize=(6, 7)), b.Prep(order=2, fit=1, mean=64)],
        data=np.arange(768, dtype=np.uint8).tobytes(),
    )
    return [b.chain(dtype).build() for dtype in b.DTYPES] + [picture.build()]


def build(root: Path, out: Path, flags: str) -> Path:
    runtime = root / "runtime_c"
    sources = [
        runtime / "tests" / "mutate.c",
        *sorted((runtime / "src").glob("*.c")),
        *sorted((runtime / "kernels").glob("*/*.c")),
    ]
    command = ["gcc", "-std=c99", "-ffp-contract=off", "-pthread", *flags.split()]
    includes = [f"-I{runtime / 'include'}", f"-I{runtime / 'src'}"]
    done = subprocess.run(
        [*command, *includes, *sources, "-lm", "-o", out],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the sanitizers' libraries are missing (apt install gcc)")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module", params=BUILDS)
def harness(request: pytest.FixtureRequest, root: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mutate")
    return build(root, folder / request.param, BUILDS[request.param])


def mutate(harness: Path, models: list[Path], count: int, seed: int, kernels: str) -> list[int]:
    """How many mutants ended in each status."""
    environment = {**os.environ, "KERNELS": kernels}
    done = subprocess.run(
        [harness, str(count), str(seed), *models],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [int(line.split()[1]) for line in done.stdout.splitlines()]


def test_mutants_of_small_models(harness: Path, tmp_path: Path) -> None:
    models = [tmp_path / f"{i}.demi" for i in range(len(seeds()))]
    for path, data in zip(models, seeds(), strict=True):
        path.write_bytes(data)
    counts = mutate(harness, models, 3000, 1, "generic")
    assert sum(counts) == 3000 * len(models)
    # The harness reaches what it is meant to reach: mutants that run, and every kind of refusal.
    ok, magic, section, tensor, operator = (counts[i] for i in (0, 3, 9, 10, 11))
    assert ok > 2000
    assert min(magic, section, tensor, operator) > 20
