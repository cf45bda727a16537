"""The command line itself: help, versions, exit statuses, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import demitasse
from demitasse.tools.main import COMMANDS, main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert [name for name in COMMANDS if f"\n  {name}" not in out.replace("    ", "  ")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert out.startswith(f"usage: demitasse {name} [options] ")
    assert f"\n    demitasse {name} " in out
    assert "--json" in out
    assert max(map(len, out.splitlines())) <= 100


def test_defaults_are_shown_where_they_say_something(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compile", "--help"])
    out = capsys.readouterr().out
    assert "(default: mse)" in out
    assert "(default: None)" not in out
    assert "(default: False)" not in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"demitasse {demitasse.__version__}\n"


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DIGITS / "deploy.prototxt"), "--json"]) == 0
    out, err = capsys.readouterr()
    network = json.loads(out)["network"]
    assert network["inputs"] == {"data": [1, 1, 8, 8]}
    assert network["outputs"] == {"prob": [1, 10]}
    # by hand: 16*64*9 twice, 32*64*16, 32*16*288, 10*128
    assert network["macs"] == 9216 + 9216 + 32768 + 147456 + 1280
    assert err == ""


def test_parameters_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(DIGITS / name) for name in ("deploy.prototxt", "digits.caffemodel")]
    assert main(["inspect", *files, "--json"]) == 0
    # by hand: convolutions 144, 144, 512, 9216; two arrays a BatchNorm and a Scale; 1290
    norms = 4 * (16 + 16 + 32 + 32)
    parameters = json.loads(capsys.readouterr().out)["network"]["parameters"]
    assert parameters == 144 + 144 + 512 + 9216 + norms + 1290


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DIGITS / "deploy.prototxt"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_warning_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DIGITS / "deploy.prototxt").read_text()
    path = tmp_path / "deploy.prototxt"
    path.write_text(text.replace("num_output: 10", "num_output: 10 colour: 3"))
    assert main(["inspect", str(path)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"demitasse: warning: {path}:")
    assert "layer 'score'" in line
    assert "colour" in line


def test_an_interruption_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("demitasse.tools.inspect.survey_caffe", interrupt)
    assert main(["inspect", str(DIGITS / "deploy.prototxt")]) == 130
    assert capsys.readouterr().err == "demitasse: error: interrupted\n"
