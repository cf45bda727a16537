"""The library installed by CMake, and the C examples that use it, here and under qemu-arm."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.quantizer.preprocess import Preprocess
from tests.runtime import builder as b
from tests.tools.firmware.conftest import DETECTOR, SCALE, call

EXAMPLES = ("classify", "faces", "shared_arena", "profile")
QEMU = {"host": (), "rk3288": ("qemu-arm",)}


@pytest.fixture(scope="module")
def nets(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network as int8.demi and fp32.demi, and a picture of a 4."""
    example, folder = root / "examples" / "digits", tmp_path_factory.mktemp("nets")
    graph = demitasse.load_caffe(example / "deploy.prototxt", example / "digits.caffemodel")
    with np.load(example / "digits.npz") as data:
        calibration, image, label = data["calibration"][:64], data["images"][0], data["labels"][0]
    assert label == 4
    for precision, shown in (("int8", calibration), ("fp32", None)):
        demitasse.compile(
            graph,
            folder / f"{precision}.demi",
            precision=precision,
            data=shown,
            preprocess=Preprocess(scale=(SCALE,)),
        )
    (folder / "four.pgm").write_bytes(b"P5\n8 8\n255\n" + image.tobytes())
    return folder


@pytest.fixture(scope="module", params=QEMU)
def installed(
    request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str, ...], Path, Path]:
    """How programs run there; the installed library; the folder of the built examples."""
    target: str = request.param
    compiler = "cc" if target == "host" else "arm-linux-gnueabihf-gcc"
    for program in ("cmake", "make", compiler, *QEMU[target]):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing (as root .ci/arm-tools installs it)")
    folder = tmp_path_factory.mktemp(target)
    toolchain = root / "runtime_c" / "toolchains" / f"{target}.cmake"
    machine = [] if target == "host" else [f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"]
    prefix = folder / "installed"
    for source, build, more in (
        (
            "runtime_c",
            "library",
            [f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib"],
        ),
        ("examples/c", "examples", [f"-Ddemitasse_DIR={prefix}/lib/cmake/demitasse"]),
    ):
        call("cmake", "-S", root / source, "-B", folder / build, *machine, *more)
        call("cmake", "--build", folder / build)
        if build == "library":
            call("cmake", "--install", folder / build)
    return QEMU[target], prefix, folder / "examples"


def test_what_is_installed(installed: tuple[tuple[str, ...], Path, Path], root: Path) -> None:
    _, prefix, _ = installed
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    assert files >= {
        "include/demitasse.h",
        "include/dmt_pool.h",
        "lib/libdemitasse.a",
        "lib/pkgconfig/demitasse.pc",
        "lib/cmake/demitasse/demitasse-config.cmake",
        "lib/cmake/demitasse/demitasse-config-version.cmake",
        "bin/dmt_run",
        "bin/dmt_bench",
    }
    assert (
        f"Version: {demitasse.__version__}\n" in (prefix / "lib/pkgconfig/demitasse.pc").read_text()
    )


def test_the_examples(installed: tuple[tuple[str, ...], Path, Path], nets: Path) -> None:
    run, _, built = installed
    lines = call(*run, built / "classify", "int8.demi", "four.pgm", cwd=nets).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("4 ")
    scores = [float(line.split()[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)

    text = call(*run, built / "shared_arena", "int8.demi", "fp32.demi", "four.pgm", cwd=nets)
    sizes, *answers = text.splitlines()
    first, second, both = (int(word) for word in sizes.replace(",", "").split() if word.isdigit())
    assert both == max(first, second) > min(first, second)
    assert answers == ["int8.demi: 4", "fp32.demi: 4"] * 2

    rows = [line.split() for line in call(*run, built / "profile", nets / "int8.demi").splitlines()]
    assert rows[0][2:] == ["conv1"]
    assert rows[-1][2:] == ["all"]
    assert sum(float(row[0]) for row in rows[:-1]) == pytest.approx(float(rows[-1][0]), abs=0.05)


def test_a_detector(
    installed: tuple[tuple[str, ...], Path, Path], root: Path, tmp_path: Path
) -> None:
    """Boxes on a frame, in its pixels, as the reference finds them."""
    run, _, built = installed
    text = (root / "tests/data/ssd_head.prototxt").read_text() + DETECTOR
    (tmp_path / "net.prototxt").write_text(text)
    graph = demitasse.load_caffe(
        tmp_path / "net.prototxt", root / "tests/data/ssd_head.caffemodel", outputs=["found"]
    )
    preprocess = Preprocess(scale=(1 / 64,), mean=(128,), order="bgr")
    demitasse.compile(graph, tmp_path / "net.demi", precision="fp32", preprocess=preprocess)
    pixels = np.random.default_rng(1).integers(0, 256, (8, 6, 3), np.uint8)  # no resizing
    (tmp_path / "frame.ppm").write_bytes(b"P6\n6 8\n255\n" + pixels.tobytes())
    x = (pixels[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) - 128) / 64
    rows = demitasse.evaluate(graph, {"data": x})["found"].reshape(-1, 7)
    expected = rows[rows[:, 2] >= 0.5]
    assert 2 < len(expected) < len(rows)

    *lines, last = call(*run, built / "faces", "net.demi", "frame.ppm", cwd=tmp_path).splitlines()
    assert last == f"{len(expected)} found"
    found = [[float(word) for word in line.split() if word[-1].isdigit()] for line in lines]
    size = np.array([6, 8, 6, 8])
    np.testing.assert_allclose([row[0] for row in found], expected[:, 1])
    np.testing.assert_allclose([row[1] for row in found], expected[:, 2], atol=1e-3)
    np.testing.assert_allclose([row[2:] for row in found], expected[:, 3:] * size, atol=0.51)


def test_bad_input_is_one_line(
    installed: tuple[tuple[str, ...], Path, Path], tmp_path: Path
) -> None:
    run, _, built = installed
    (tmp_path / "net.demi").write_bytes(b.chain().build())
    (tmp_path / "p.ppm").write_bytes(b"P6\n1 1\n255\n123")
    for arguments, message in (
        (["net.demi"], "usage: classify"),
        (["p.ppm", "p.ppm"], "p.ppm: not a model.demi"),
        (["net.demi", "net.demi"], "neither a binary PPM nor PGM"),
        (["net.demi", "p.ppm"], "p.ppm: "),
    ):
        command = [*run, built / "classify", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert message in done.stderr
