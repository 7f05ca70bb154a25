"""What happens while a run trains: facts for whoever watches, rendered in `display`."""

from dataclasses import dataclass
from typing import Any, Literal

from charlstm.score import Score

Reason = Literal["done", "stopped", "patience"]


@dataclass(frozen=True)
class Compiling:
    """The steps are being compiled; `step` are made already (by the run that is resumed)."""

    step: int


@dataclass(frozen=True)
class Progress:
    """Some steps were made. `total` is 0 and `seconds_left` None as long as they are unknown."""

    step: int
    total: int
    fraction: float
    seconds_left: float | None


@dataclass(frozen=True)
class Report:
    """One line of metrics.jsonl. `loss` is the mean since the last report; losses are nats per character.

    `characters` were read so far. `learning_rate` and `gradient_norm`, before clipping, are those of the last step.
    `characters_per_second` are since the last report, without validations and passages; `elapsed_seconds` are those of
    all sittings, compiling included.
    """

    step: int
    epoch: float
    characters: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float
    characters_per_second: float
    elapsed_seconds: float


@dataclass(frozen=True)
class SampleDue:
    """A good moment to let the model speak; `params` are valid until the next event is asked for."""

    step: int
    params: Any


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written; `best`: and the weights, as the best so far or for want of a validation."""

    step: int
    best: bool


@dataclass(frozen=True)
class Finished:
    """The run has ended, or was stopped and can be resumed. `best` is None without a validation.

    Short runs validate on a piece of the `held_out` characters: `best.characters` of them.
    """

    reason: Reason
    step: int
    best: Score | None
    best_step: int
    held_out: int
    loss: float
    elapsed_seconds: float


Event = Compiling | Progress | Report | SampleDue | Saved | Finished
