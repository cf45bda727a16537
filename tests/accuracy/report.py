"""The tables, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnxruntime

from accuracy.measure import FLOAT, INT8, INT16, PEER, Result
from accuracy.nets import NETS

HEAD = """# Accuracy

`make accuracy` prints these tables and keeps them here; `make accuracy NETS=lenet,cifar_full` runs
some of the networks. Others trained them; they are read from their Caffe files. INT16 and INT8 are
`demitasse compile` with its default options. Nothing that calibrates also judges. Beside them is
onnxruntime {version}: static quantization of the ONNX model that `demitasse convert --to onnx`
writes (QDQ, uint8 activations, int8 weights by channel), calibrated on the same pictures by MinMax,
Entropy and Percentile; the one of the highest SQNR on the judging pictures counts. Softmax and what
follows it runs in float32 everywhere. (ncnn's package on PyPI has no quantizer.)

## Outputs

SQNR against our float32 in dB, of the network's output before its Softmax; of several outputs the
least. Layer alone: the worst layer of the INT16 model where only this one is quantized, on one
picture.
"""
TASKS = """
## Tasks

What the network is for, or where there are no labels how its answers agree with float32's.
"""


def report(results: Sequence[Result]) -> str:
    """Both tables."""
    head = ("network", "calibrate", "judge", INT16, INT8, PEER, "its method", "INT16 layer alone")
    outputs = [
        (
            result.name,
            str(result.calibrated),
            str(result.judged),
            *(_decibel(result.sqnr[engine]) for engine in (INT16, INT8, PEER)),
            result.method,
            _decibel(result.alone),
        )
        for result in results
    ]
    tasks = [
        (result.name, figure, *(result.figures[e].get(figure, "") for e in ENGINES))
        for result in results
        for figure in _figures(result)
    ]
    pictures = [
        (result.name, NETS[result.name].folder, NETS[result.name].pictures) for result in results
    ]
    return "\n".join(
        [
            HEAD.format(version=onnxruntime.__version__),
            _table(head, outputs, left=1),
            TASKS,
            _table(("network", "", *ENGINES), tasks, left=2),
            "\n## Pictures\n",
            _table(("network", "model", "pictures"), pictures, left=3),
            "",
        ]
    )


ENGINES = (FLOAT, INT16, INT8, PEER)


def _figures(result: Result) -> list[str]:
    found = [name for engine in ENGINES for name in result.figures[engine]]
    return list(dict.fromkeys(found))


def _decibel(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if math.isfinite(value) else "exact"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """The first columns are texts, the others numbers."""
    rule = ["---" if i < left else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
