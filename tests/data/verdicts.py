"""Ask real Caffe for its verdict on every text of verdicts.txt; status 1 where one differs.

    oracle/bin/python tests/data/verdicts.py

The environment is that of record.py. Caffe ends its process where it refuses a text, so that each
text gets one of its own. Nothing of Demitasse is imported.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("verdicts.txt")
INPUT = 'input: "data" input_shape { dim: 1 dim: 4 dim: 9 dim: 11 }\n'
HEAD = re.compile("(ACCEPTED|REFUSED|READ|USELESS) (.*)")


class Verdict(NamedTuple):
    """A text, and what is to become of it."""

    verdict: str
    name: str
    words: str
    text: str


def verdicts():
    """The cases of verdicts.txt."""
    found = []
    for block in re.split(r"\n\n(?=[A-Z]+ )", FILE.read_text(encoding="utf-8")):
        head, _, text = block.partition("\n")
        match = HEAD.fullmatch(head)
        if match:
            name, _, words = match[2].partition(": ")
            text = text.rstrip("\n") + "\n"
            own = re.search(r'\binput\b|"(Input|DummyData|MemoryData)"', text)
            found.append(Verdict(match[1], name, words, text if own else INPUT + text))
    return found


def caffe_accepts(text):
    """Whether Caffe makes a net of it."""
    import caffe

    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text)
        file.flush()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            caffe.Net(file.name, caffe.TEST)
            os._exit(0)
        return os.waitpid(child, 0)[1] == 0


def main():
    wrong = 0
    for case in verdicts():
        if caffe_accepts(case.text) != (case.verdict in ("ACCEPTED", "USELESS")):
            print(f"{case.name}: not {case.verdict}")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
