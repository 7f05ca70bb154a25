"""What process 0 decides for all processes of a run: one decision after the other, each told as JSON.

Whatever depends on a clock, a disk or a signal would differ from process to process, and processes that do different
things wait for each other for ever. So process 0 alone looks at these, and the others do as it says.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from charlstm.config import ModelConfig, RunConfig, TrainingConfig, from_dict


@dataclass(frozen=True)
class Decision:
    """Something to do for all."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; floats survive unchanged."""
        return {"kind": type(self).__name__, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Measure(Decision):
    """Make steps of this shape on made-up text: process 0 takes the time."""

    model: ModelConfig
    training: TrainingConfig


@dataclass(frozen=True)
class Read(Decision):
    """Open the text of a run, under its vocabulary: the JSON of this."""

    config: RunConfig
    vocabulary: str


@dataclass(frozen=True)
class Begin(Decision):
    """Get ready to train the run whose text was read."""


@dataclass(frozen=True)
class Steps(Decision):
    """Make a step with each of these learning rates, from the step number `step` on."""

    step: int
    rates: list[float]


@dataclass(frozen=True)
class Average(Decision):
    """Give process 0 what the parameters have moved by, and take from it those to go on from."""


@dataclass(frozen=True)
class Gather(Decision):
    """Give the recurrent states of all streams to process 0, which saves them."""


@dataclass(frozen=True)
class GoBack(Decision):
    """Go on from another state, which process 0 has."""


@dataclass(frozen=True)
class End(Decision):
    """Nothing more is to be done."""


_KINDS = {kind.__name__: kind for kind in (Measure, Read, Begin, Steps, Average, Gather, GoBack, End)}


def decision_from(data: dict[str, Any]) -> Decision:
    """The inverse of `to_dict`."""
    fields = {name: value for name, value in data.items() if name != "kind"}
    return from_dict(_KINDS[data["kind"]], fields, "what process 0 has decided")
