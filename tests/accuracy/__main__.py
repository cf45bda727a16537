"""Run networks, keep what was measured, and print the tables."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

from accuracy.measure import Result, measure
from accuracy.nets import NETS, weights_of
from accuracy.report import report

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("converter", "protos", "quantizer", "runtime_c", "tests/accuracy", "tests/support")


def main() -> int:
    """0, also where there are no models: nothing is wrong with that."""
    parser = argparse.ArgumentParser(prog="make accuracy")
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--keep", type=Path, help="file for the tables of all networks")
    arguments = parser.parse_args()
    models = Path(os.environ.get("DEMITASSE_MODELS") or ROOT.parent / "shared" / "models")
    if not models.is_dir():
        print("NOT RUN: ../shared/models (or DEMITASSE_MODELS) is missing", file=sys.stderr)
        return 0
    names = [name for text in arguments.nets for name in text.split(",")] or list(NETS)
    unknown = [name for name in names if name not in NETS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NETS)}")
    missing = [name for name in names if not weights_of(NETS[name], models).exists()]
    for name in missing:
        print(f"NOT RUN: {name}: no {weights_of(NETS[name], models)}", file=sys.stderr)
    results = [_result(name, models) for name in names if name not in missing]
    text = report(results)
    print(text, end="")
    if arguments.keep and set(NETS) == {*names}:
        arguments.keep.write_text(text, encoding="utf-8")
    return 0


def _result(name: str, models: Path) -> Result:
    """Measured now, or before by the same sources."""
    path = ROOT / "build" / "accuracy" / f"{name}.json"
    stamp = _stamp()
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("stamp") == stamp:
            return Result(**record)
    result = measure(name, NETS[name], models)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"stamp": stamp, **result.record()}, indent=1), encoding="utf-8")
    return result


def _stamp() -> str:
    """A hash of all that decides a result, except the models."""
    digest = hashlib.sha256(os.environ.get("ACCURACY_MNN", "").encode())
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".txt") and path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


sys.exit(main())
