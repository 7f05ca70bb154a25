"""What happens while a run trains: facts for whoever watches, rendered in `display`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from charlstm.config import RunConfig
from charlstm.score import Score

if TYPE_CHECKING:
    from charlstm.runs.weights import Weights

Reason = Literal["done", "stopped", "patience"]


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """Something that takes its time before the run begins: `done` of `total`, or of an unknown amount if this is 0."""

    what: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, kw_only=True)
class Joined:
    """This process is one of several that train the run. Process 0 knows all their `hosts`, and shows what happens."""

    process: int
    hosts: list[str]


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run is made, or opened again: its folder, its settings, and what was chosen and why."""

    run: Path
    config: RunConfig
    parameters: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The run goes on after `step` steps; notes say what is not as it was."""

    step: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Compiling:
    """The steps are being compiled; `step` are made already (by the run that is resumed)."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Some steps were made. `total` is 0 and `seconds_left` None as long as they are unknown."""

    step: int
    total: int
    fraction: float
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """One line of metrics.jsonl. `loss` is the mean since the last report; losses are nats per character.

    `characters` were read so far. `learning_rate` and `gradient_norm`, before clipping, are those of the last step.
    Since the last report `clipped` steps had their gradient clipped, and `skipped` steps changed nothing, for their
    loss or gradient was not finite; the loss is NaN where all were.
    `characters_per_second` are since the last report, without validations and samples; `elapsed_seconds` are those of
    all sessions, compiling included.
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
    clipped: int = 0
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class SampleDue:
    """A good moment to look at a sample: `LanguageModel(event.weights).sample()`.

    The weights are a copy, which stays what it is while training goes on. `excerpt` is the beginning of the validation
    part, or of the training part if there is none: a text to look at a model with, the same at every step.
    """

    step: int
    weights: "Weights"
    excerpt: str


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint was written; `best`: and the weights, as the best so far or for want of a validation."""

    step: int
    best: bool


@dataclass(frozen=True, kw_only=True)
class NotSaved:
    """A save failed, and `message` says why. What was saved before is whole; training goes on and tries again."""

    step: int
    message: str


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """Too many steps were not finite: the run went from `step` back to its last save, with a lower peak rate."""

    step: int
    back_to: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Of `processes` one is lost, for a `reason` that names it; `left` train on, without its share of the text."""

    process: int
    reason: str
    processes: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Steps are done; n-grams of the text are being counted, to stand beside the network."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run has ended, or was stopped and can be resumed. `best` is None without a validation.

    Short runs validate on a piece of the `held_out` characters: `best.characters` of them. `schedule` repeats the run:
    at each of its steps, the number of steps in all; empty where the clock decided more than this. `best` is the
    network's own; `with_counts` is the same with counts beside it, if there are any. Of several members it is of what
    they predict together, and `members` are the scores of each alone; none where the run was stopped.
    """

    reason: Reason
    step: int
    best: Score | None
    best_step: int
    held_out: int
    loss: float
    elapsed_seconds: float
    with_counts: Score | None = None
    members: list[Score] = field(default_factory=list[Score])
    schedule: list[list[int]] = field(default_factory=list[list[int]])


Event = (
    Preparing
    | Joined
    | Started
    | Resumed
    | Compiling
    | Progress
    | Report
    | SampleDue
    | Saved
    | NotSaved
    | RolledBack
    | Lost
    | Counting
    | Finished
)
