"""The tables, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnxruntime

from accuracy import mnn
from accuracy.cost import costs
from accuracy.engines import ALONE
from accuracy.measure import BROKEN, FLOAT, INT8, INT16, NEAREST, OTHER, PEER, REPAIRED, Result
from accuracy.nets import NETS

HEAD = """# Accuracy

`make accuracy` prints these tables and keeps them here; `make accuracy NETS=lenet,cifar_full` runs
some of the networks. Others trained them; they are read from their Caffe files. INT16 and INT8 are
`demitasse compile` with its default options. Nothing that calibrates also judges. Beside them is
onnxruntime {version}: static quantization of the ONNX model that `demitasse convert --to onnx`
writes (QDQ, uint8 activations, int8 weights by channel), calibrated on the same pictures by MinMax,
Entropy and Percentile; the one of the highest SQNR on the judging pictures counts. Where
`ACCURACY_MNN` names a Python that has MNN, its quantizer (KL, weights by MAX_ABS) is measured too,
on the same ONNX model and up to {most} of the same pictures; it does not take blobs that no picture
file can hold, and gets {seconds} seconds. Below {broken:.0f} dB its answer is left out, since it
says nothing about scales: networks that read three channels came out at a few dB, while the
log that it wrote for one of them has cosines of 0.999. Why is not known; it may be how it is used
here.
Softmax and what follows it runs in float32 everywhere. (ncnn's package on PyPI has no quantizer.)

## Outputs

SQNR against our float32 in dB, of the network's output before its Softmax; of several outputs the
least. Layer alone: the worst layer of the INT16 model where only this one is quantized, on up to
{alone} pictures.
"""
TASKS = """
## Tasks

What the network is for, or where there are no labels how its answers agree with float32's.
"""
SMALL = """
## Weights of four bits

`--int4-weights all`, rounded to the nearest and repaired as is the default. Activations are INT8,
and the weights of depthwise convolutions, which cannot have four bits. Seconds: to compile, of this
run, with whatever else the machine did.
"""


COST = """
## Cost

`PYTHONPATH=tests python -m accuracy.cost`: processor seconds of one core, the shortest of several
rounds. How long repaired four-bit weights take is above.
"""
TRIED = """
## What does not pay

What was measured, or where it says so only argued, and left out:

- Factors for channels by how loud they are, and for readers of any kind: a decibel more on the
  pictures that choose them, but channels that were quiet there burst on others, and a plate reader
  fell from 37.9 dB to 36.0, in INT16 from 71.5 to 61.4. Splitting loud channels was not tried:
  it costs time on the device and promises the same trade. What stays are the factors before
  depthwise convolutions, by the weights alone (the README's "Channels").
- Counting what is clipped 2 to 32 times in the error of a range: single networks gain a decibel,
  others lose as much, and calibration chooses no better.
- Not measured: another scale for an input of a Concat than the joined tensor's, where nothing else
  reads it. Its producer requantizes once in any case; a second rounding is all it would add.
- A method of its own for each blob as the default (`--method auto`): no reliable gain over `mse`.
"""


def report(results: Sequence[Result]) -> str:
    """All tables."""
    head = ("network", "calibrate", "judge", INT16, INT8, PEER, OTHER, "methods", "INT16 alone")
    outputs = [
        (
            result.name,
            str(result.calibrated),
            str(result.judged),
            *(_decibel(result.sqnr.get(engine)) for engine in (INT16, INT8, PEER, OTHER)),
            ", ".join(filter(None, (result.method, result.other))),
            _decibel(result.alone),
        )
        for result in results
    ]
    tasks = [
        (result.name, figure, *(result.figures.get(e, {}).get(figure, "") for e in ENGINES))
        for result in results
        for figure in _figures(result)
    ]
    pictures = [
        (result.name, NETS[result.name].folder, NETS[result.name].pictures) for result in results
    ]
    return "\n".join(
        [
            HEAD.format(
                version=onnxruntime.__version__,
                most=mnn.MOST,
                seconds=mnn.SECONDS,
                broken=BROKEN,
                alone=ALONE,
            ),
            _table(head, outputs, left=1),
            TASKS,
            _table(("network", "", *ENGINES), tasks, left=2),
            SMALL,
            _table(("network", "", INT8, NEAREST, REPAIRED), _small(results), left=2),
            COST,
            _table(("", ""), costs(), left=1),
            TRIED,
            "\n## Pictures\n",
            _table(("network", "model", "pictures"), pictures, left=3),
            "",
        ]
    )


ENGINES = (FLOAT, INT16, INT8, PEER, OTHER)


def _small(results: Sequence[Result]) -> list[tuple[str, ...]]:
    engines, rows = (INT8, NEAREST, REPAIRED), []
    for result in results:
        if REPAIRED not in result.sqnr:
            continue
        rows.append((result.name, "SQNR, dB", *(_decibel(result.sqnr[e]) for e in engines)))
        for figure in _figures(result):
            rows.append((result.name, figure, *(result.figures[e][figure] for e in engines)))
        rows.append((result.name, "seconds", *(f"{result.seconds[e]:.0f}" for e in engines)))
    return rows


def _figures(result: Result) -> list[str]:
    found = [name for engine in ENGINES for name in result.figures.get(engine, {})]
    return list(dict.fromkeys(found))


def _decibel(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if math.isfinite(value) else "exact"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """The first columns are texts, the others numbers."""
    rule = ["---" if i < left else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
