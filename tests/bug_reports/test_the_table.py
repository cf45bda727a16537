"""README.md of this folder lists what is tested, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent


def numbers(text: str) -> set[int]:
    """1, 4 or 26 to 40."""
    found = {int(number) for number in re.findall(r"\d+", text)}
    for first, last in re.findall(r"(\d+) to (\d+)", text):
        found |= set(range(int(first), int(last) + 1))
    return found


def listed() -> dict[str, set[int]]:
    """The numbers of each file in the table."""
    found: dict[str, set[int]] = {}
    for row in (FOLDER / "README.md").read_text().splitlines():
        if match := re.match(r"\| (\d[^|]*) \|.*\| `(\w+\.py)`", row):
            found.setdefault(match[2], set()).update(numbers(match[1]))
    return found


def covered(path: Path) -> set[int]:
    """The numbers that the docstrings of a file's tests begin with."""
    found: set[int] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            head = re.match(r"(Any|[\d, to]+)", ast.get_docstring(node) or "")
            assert head, f"{path.name}: {node.name} does not say which report it is about"
            found |= numbers(head[1])
    return found


def test_the_table_lists_what_is_tested() -> None:
    files = {path for path in FOLDER.glob("test_*.py") if path != Path(__file__)}
    assert {path.name: covered(path) for path in files} == listed()
