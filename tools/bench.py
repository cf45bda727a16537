"""Time a model on this machine.

    demitasse bench net.demi --loops 100 --profile

One warm-up, then so many runs on zeros. The board has its own program, dmt_bench.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from demitasse.converter.flat.read import read_model
from demitasse.converter.summary import summarise_model
from demitasse.runtime.model import Model, OperatorTime
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.table import amount, facts, percent, plural, table


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .demi")
    parser.add_argument("--loops", metavar="N", type=shared.positive, default=20, help="timed runs")
    parser.add_argument("--profile", action="store_true", help="the time of each operator too")
    shared.engine(parser)
    shared.operators(parser)


def command(options: Namespace) -> Answer:
    summary = summarise_model(read_model(options.model))
    model = Model.open(options.model, kernels=options.kernels, threads=options.threads)
    inputs = {name: np.zeros(shape or (), np.float32) for name, shape in summary.inputs.items()}
    times = _milliseconds(model, inputs, options.loops)
    speed = summary.macs / median(times) * 1e3
    lines = facts(
        [
            ("kernels", f"{model.kernels}, {plural(options.threads, 'thread')}"),
            ("runs", f"{len(times):,}"),
            ("time", f"{min(times):.3f} ms at best, {median(times):.3f} ms median"),
            ("work", f"{amount(summary.macs)} multiply-accumulates, {amount(int(speed))} a second"),
        ]
    )
    data = {
        "kernels": model.kernels,
        "threads": options.threads,
        "milliseconds": {"min": min(times), "median": median(times), "all": times},
        "macs": summary.macs,
    }
    if not options.profile:
        return Answer(lines, data)
    profile = model.profile(loops=options.loops)
    return Answer(f"{_profile(profile)}\n\n{lines}", {**data, "profile": profile})


def _milliseconds(model: Model, inputs: dict[str, np.ndarray], loops: int) -> list[float]:
    model.run(inputs)
    times = []
    for _ in range(loops):
        start = perf_counter()
        model.run(inputs)
        times.append(1e3 * (perf_counter() - start))
    return times


def _profile(rows: list[OperatorTime]) -> str:
    total = sum(row.milliseconds for row in rows) or 1.0
    return table(
        ["operator", "type", "ms", "share", "MACs", "MAC/s"],
        [
            [
                row.name,
                row.operator.lower(),
                f"{row.milliseconds:.3f}",
                percent(row.milliseconds / total, 1),
                amount(row.macs) if row.macs else "",
                amount(int(row.macs / row.milliseconds * 1e3)) if row.macs else "",
            ]
            for row in rows
        ],
        left=2,
    )
