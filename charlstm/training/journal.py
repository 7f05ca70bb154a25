"""What a run remembers between steps, beside its arrays: where it is, what it has seen, when what is due."""

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

from charlstm.events import Progress
from charlstm.score import Score
from charlstm.training.optimizer import Schedule

_REPORTS = 100
_MAX_VALIDATIONS = 20
_VALIDATION_SHARE = 0.06  # of a run's computing
_MIN_VALIDATIONS = 4
_SCORING_COST = 1 / 3  # of training on the same characters: forward only
_MIN_CHARACTERS = 50_000  # for a validation that can tell which weights are better


@dataclass(frozen=True)
class Cadence:
    """How often a run of known length reports and validates, in steps, and on how many characters."""

    report: int
    validate: int
    characters: int

    @classmethod
    def of(
        cls, total: int, characters_per_step: int, validation_characters: int, characters: int | None = None
    ) -> "Cadence":
        """A hundred reports, and up to twenty validations within 6% of the run's computing.

        Of a validation part so long that not even four validations are paid for, a run reads the beginning only:
        `characters`, if they are given.
        """
        affordable = _VALIDATION_SHARE / _SCORING_COST * total * characters_per_step
        if characters is None:
            characters = min(validation_characters, max(_MIN_CHARACTERS, int(affordable / _MIN_VALIDATIONS)))
        validations = min(_MAX_VALIDATIONS, max(1, int(affordable / max(1, characters))))
        return cls(max(1, total // _REPORTS), math.ceil(total / validations), characters)


@dataclass
class Journal:
    """The record of a run. It is saved with every checkpoint, so resuming finds everything as it was."""

    schedule: Schedule
    cadence: Cadence | None = None
    step: int = 0
    loss_sum: float = 0.0  # of the steps since the last report
    loss_steps: int = 0
    loss: float = math.nan  # of the last report
    best: Score | None = None
    best_step: int = 0
    validations_since_best: int = 0
    elapsed: float = 0.0
    ended: str = ""

    def set_length(self, total: int, characters_per_step: int, validation_characters: int) -> None:
        """Set the number of steps, and from it how often to report and to validate."""
        if total != self.schedule.total:
            self.schedule = self.schedule.replan(self.step, total)
            # Scores are compared with each other, so they go on being of the same characters.
            characters = self.cadence.characters if self.best and self.cadence else None
            self.cadence = Cadence.of(total, characters_per_step, validation_characters, characters)

    def add_losses(self, loss_sum: float, steps: int) -> None:
        """Count steps towards the next report."""
        self.loss_sum += loss_sum
        self.loss_steps += steps

    def close_interval(self) -> float:
        """The mean loss since the last report; the next interval begins."""
        self.loss = self.loss_sum / max(1, self.loss_steps)
        self.loss_sum, self.loss_steps = 0.0, 0
        return self.loss

    def note_validation(self, score: Score) -> bool:
        """Remember a validation; True if it is the best so far."""
        better = self.best is None or score.loss < self.best.loss
        self.validations_since_best = 0 if better else self.validations_since_best + 1
        if better:
            self.best, self.best_step = score, self.step
        return better

    @property
    def finished(self) -> bool:
        """Whether all steps are made."""
        return 0 < self.schedule.total <= self.step

    @property
    def report_due(self) -> bool:
        """Whether this step ends an interval."""
        return self.finished or (self.cadence is not None and self._at(self.cadence.report)) or self.validation_due

    @property
    def validation_due(self) -> bool:
        """Whether this step is followed by a validation."""
        return (
            self.cadence is not None
            and self.cadence.characters > 1
            and (self.finished or self._at(self.cadence.validate))
        )

    def sample_due(self, every: int) -> bool:
        """Whether this report is one of each `every` that is followed by a sample."""
        return bool(every) and self.cadence is not None and self.step % (self.cadence.report * every) == 0

    def steps_until_due(self) -> int:
        """How many steps may be made before anything is due."""
        if self.cadence is None:
            return 2**31
        ends = [every - self.step % every for every in (self.cadence.report, self.cadence.validate)]
        return max(1, min(*ends, self.schedule.total - self.step))

    def _at(self, every: int) -> bool:
        return self.step % every == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; floats survive unchanged."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Journal":
        """The inverse of `to_dict`."""
        schedule = Schedule(**data["schedule"])
        cadence = data["cadence"] and Cadence(**data["cadence"])
        best = data["best"] and _score_from(data["best"])
        return cls(**data | {"schedule": schedule, "cadence": cadence, "best": best})


def _score_from(data: dict[str, Any]) -> Score:
    """A score out of a checkpoint; `utf8_bytes` was once called `size`."""
    return Score(**{"utf8_bytes" if name == "size" else name: value for name, value in data.items()})


class Clock:
    """The time that a run has taken, over all its sessions, and what is left of its budget of `seconds`, if any."""

    # Shares of the budget at which the number of steps is estimated anew: machines do not keep their speed, and a
    # run must end within 5% of its time. The learning rate stays continuous (optimizer.Schedule).
    _MILESTONES = (0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.96)

    def __init__(self, elapsed: float, seconds: float | None) -> None:
        self._began = time.perf_counter() - elapsed
        self._seconds = seconds
        milestones = (share * (seconds or 0) for share in self._MILESTONES)
        self._milestones = [due for due in milestones if due > elapsed]
        self._compiled: tuple[float, int] | None = None  # when the first step of this session was made, and which
        self._last_estimate = 0.0, 0  # when the last estimate was made, and at which step
        self._paused = 0.0  # seconds since the last estimate
        self._longest_pause = 0.0  # of the whole run

    def elapsed(self) -> float:
        """Seconds since the run began, less the time between its sessions."""
        return time.perf_counter() - self._began

    def pause(self, seconds: float) -> None:
        """Time went into a validation or a sample, not into steps."""
        self._paused += seconds
        self._longest_pause = max(self._longest_pause, seconds)

    @property
    def estimate_due(self) -> bool:
        """Whether to call `steps_in_budget` as soon as all dispatched steps are made."""
        return self._compiled is None or (bool(self._milestones) and self.elapsed() >= self._milestones[0])

    def steps_in_budget(self, step: int) -> int | None:
        """How many steps, in all, fill the budget at the speed since the last estimate; None if there is none."""
        now = self.elapsed()
        if self._compiled is None:  # the first step carried the compilation: count from here
            self._compiled = self._last_estimate = now, step
        since, first = self._last_estimate
        if self._seconds is None or step <= first:
            return None
        self._milestones = [due for due in self._milestones if due > now]
        pace = (now - since - self._paused) / (step - first)
        self._last_estimate, self._paused = (now, step), 0.0
        # Room for the last validation, should it take a fifth longer than the longest pause yet.
        return step + max(1, int((self._seconds - now - 1.2 * self._longest_pause) / pace))

    def progress(self, step: int, total: int) -> Progress:
        """How far the run is: by the speed of its steps, and before that is known by its budget."""
        now = self.elapsed()
        left = self._seconds and max(0.0, self._seconds - now)
        if self._compiled and total and step > self._compiled[1]:
            left = (total - step) * (now - self._compiled[0]) / (step - self._compiled[1])
        fraction = 0.0 if left is None else now / max(now + left, 1e-9)
        return Progress(step=step, total=total, fraction=fraction, seconds_left=left)
