"""LSTM and RNN."""

from __future__ import annotations

from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Value
from demitasse.converter.ops import Lstm, Rnn


def recurrent(step: Step, op: Lstm | Rnn) -> None:
    """With `expose`, Caffe gives the states as tops of their own; the last one joins the output."""
    kind = "LSTM" if isinstance(op, Lstm) else "RNN"
    fields: dict[str, Value] = {"num_output": op.channels}
    arrays = step.stored(*op.matrices(step.shapes))
    if not op.expose:
        step.layer(kind, "recurrent_param", fields, arrays)
        return
    fields["expose_hidden"] = True
    tops = [step.blob("output"), *(step.blob(f"state{i}") for i in range(op.states()))]
    step.layer(kind, "recurrent_param", fields, arrays, outputs=tops)
    step.layer("Concat", "concat_param", {"axis": 0}, inputs=(tops[0], tops[-1]))
