"""Which layers take part: include and exclude rules, as Caffe's NetStateRule."""

from __future__ import annotations

from dataclasses import dataclass

from demitasse.converter.caffe.text import Field, Message
from demitasse.converter.caffe.upgrade import Layer
from demitasse.errors import DemitasseError, ParseError

PHASES = {"TRAIN": 0, "TEST": 1}


@dataclass(frozen=True)
class State:
    """What the rules are matched against."""

    phase: str = "TEST"
    level: int = 0
    stages: frozenset[str] = frozenset()


def net_state(net: Message, phase: str, level: int, stages: tuple[str, ...]) -> State:
    """The caller's state, and the stages of the text's own `state` message: Caffe sets phase and
    level itself when it loads a net.

    Raises DemitasseError for an unknown phase.
    """
    if phase not in PHASES:
        raise DemitasseError(f"unknown phase '{phase}'", remedy="use TEST or TRAIN")
    written = net.merged("state") or Message()
    own_stages = (field.string() for field in written.all("stage"))
    return State(phase, level, frozenset([*stages, *own_stages]))


def takes_part(layer: Layer, state: State) -> bool:
    """Whether Caffe would keep the layer. Raises ParseError where both kinds of rule are set."""
    include, exclude = layer.message.all("include"), layer.message.all("exclude")
    if include and exclude:
        raise ParseError("has both include and exclude rules", line=include[0].line)
    if include:
        return any(_meets(rule, state) for rule in include)
    return not any(_meets(rule, state) for rule in exclude)


def _meets(rule: Field, state: State) -> bool:
    message = rule.message()
    phase = message.last("phase")
    low, high = message.last("min_level"), message.last("max_level")
    return (
        (phase is None or phase.symbol(PHASES) == state.phase)
        and (low is None or state.level >= low.integer())
        and (high is None or state.level <= high.integer())
        and all(field.string() in state.stages for field in message.all("stage"))
        and not any(field.string() in state.stages for field in message.all("not_stage"))
    )
