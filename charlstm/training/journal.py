"""What a run remembers between steps, beside its arrays: where it is, what it has seen, when what is due."""

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from typing import Any

from charlstm.errors import RunError
from charlstm.schema import fits
from charlstm.score import Score
from charlstm.training.collected import Collected
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
        cls,
        total: int,
        characters_per_step: int,
        validation_characters: int,
        characters: int | None = None,
        every: int = 1,
    ) -> "Cadence":
        """A hundred reports, and up to twenty validations within 6% of the run's computing.

        Of a validation part so long that not even four validations are paid for, a run reads the beginning only:
        `characters`, if they are given. Both come after a multiple of `every` steps only.
        """
        affordable = _VALIDATION_SHARE / _SCORING_COST * total * characters_per_step
        if characters is None:
            characters = min(validation_characters, max(_MIN_CHARACTERS, int(affordable / _MIN_VALIDATIONS)))
        validations = min(_MAX_VALIDATIONS, max(1, int(affordable / max(1, characters))))
        report, validate = max(1, total // _REPORTS), math.ceil(total / validations)
        return cls(every * math.ceil(report / every), every * math.ceil(validate / every), characters)


@dataclass
class Journal:
    """The record of a run. It is saved with every checkpoint, so resuming finds everything as it was."""

    schedule: Schedule
    cadence: Cadence | None = None
    step: int = 0
    loss_sum: float = 0.0  # of the steps since the last report that were not skipped
    loss_steps: int = 0
    loss: float = math.nan  # of the last report
    best: Score | None = None
    best_step: int = 0
    validations_since_best: int = 0
    elapsed: float = 0.0
    ended: str = ""
    reported: int = 0  # the step of the last report
    gradient_norm: float = 0.0  # of the last step that was not skipped
    clipped: int = 0  # steps since the last report
    skipped: int = 0  # since the last report, for loss or gradient was not finite
    skipped_lately: float = 0.0  # a skipped step is forgotten when ten others have gone well
    lengths: list[list[int]] = field(default_factory=list[list[int]])  # at a step, the number of steps in all
    rollbacks: int = 0
    prolonged: bool = False

    def set_length(self, total: int, characters_per_step: int, validation_characters: int, every: int = 1) -> None:
        """Set the number of steps, and from it how often to report and to validate: at multiples of `every`."""
        if total != self.schedule.total:
            self.schedule = self.schedule.replan(self.step, total)
            # Scores are compared with each other, so they go on being of the same characters.
            characters = self.cadence.characters if self.best and self.cadence else None
            self.cadence = Cadence.of(total, characters_per_step, validation_characters, characters, every)
            self.lengths.append([self.step, total])

    def prolong(self, learning_rate: float) -> None:
        """Go on beyond the end that was planned; the length is to be set anew.

        A run that came to its end warms up once more, to `learning_rate` (less what rollbacks took off); one that was
        stopped, or whose patience was over, goes on from the rate that it had.
        """
        self.schedule = self.schedule.prolong(self.step, learning_rate * 0.5**self.rollbacks)
        self.ended, self.validations_since_best, self.prolonged = "", 0, True

    def add(self, steps: Collected) -> None:
        """Count steps towards the next report."""
        self.loss_sum += steps.loss
        self.loss_steps += steps.steps
        self.gradient_norm = steps.gradient_norm if steps.steps else self.gradient_norm
        self.clipped += steps.clipped
        self.skipped += steps.skipped
        self.skipped_lately = max(0.0, self.skipped_lately + steps.skipped - steps.steps / 10)

    def close_interval(self) -> None:
        """Set the mean loss since the last report, NaN if all steps were skipped; the next interval begins."""
        self.loss = self.loss_sum / self.loss_steps if self.loss_steps else math.nan
        self.loss_sum, self.loss_steps, self.clipped, self.skipped = 0.0, 0, 0, 0
        self.reported = self.step

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
        """Whether this step ends an interval, and its report was not made yet."""
        ends = self.finished or self.validation_due or (self.cadence is not None and self._at(self.cadence.report))
        return ends and self.step > self.reported

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

    @property
    def repeatable(self) -> list[list[int]]:
        """The lengths by which the run can be repeated exactly; none where the clock decided more than these."""
        is_whole = bool(self.lengths) and self.lengths[0][0] == 0  # earlier versions kept none
        return self.lengths if is_whole and not self.rollbacks and not self.prolonged else []

    def _at(self, every: int) -> bool:
        return self.step % every == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; floats survive unchanged."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Journal":
        """The inverse of `to_dict`; what earlier versions did not write is at its default.

        Raises:
            ValueError: `data` is no such dict, or no run can be where it says.
        """
        try:
            schedule = Schedule(**data["schedule"])
            cadence = data["cadence"] and Cadence(**data["cadence"])
            best = data["best"] and _score_from(data["best"])
            parts = {"schedule": schedule, "cadence": cadence, "best": best}
            journal = cls(**{"reported": data["step"]} | data | parts)  # earlier versions saved after reports only
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no journal: {error}") from error
        for part in filter(None, (journal, schedule, cadence, best)):
            for name, hint in typing.get_type_hints(type(part)).items():
                value = getattr(part, name)
                if not _is_sound(type(part), name, value, hint):
                    raise ValueError(f"no journal: {name} is {value!r:.60}")
        if schedule.total and not (journal.step <= schedule.total and cadence):
            raise ValueError(f"no journal: step {journal.step} of {schedule.total}")
        return journal


def facts_of(journal: Journal, conditions: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint holds beside its arrays: the journal, and the conditions that it is saved under."""
    return journal.to_dict() | {"conditions": conditions}


def read_facts(facts: dict[str, Any], where: str) -> tuple[Journal, dict[str, str]]:
    """The inverse of `facts_of`; earlier versions noted no conditions.

    Raises:
        RunError: `facts` are not those of a run; `where` names it.
    """
    before = facts.get("conditions", {})
    try:
        journal = Journal.from_dict({name: value for name, value in facts.items() if name != "conditions"})
    except ValueError as error:
        raise RunError(f"the checkpoint of {where} holds {error}", "the file is damaged") from error
    return journal, before if fits(before, dict[str, str]) else {}


_FROM_ONE = {(Cadence, "report"), (Cadence, "validate"), (Score, "characters"), (Score, "utf8_bytes")}
_MAY_BE_NAN = {"loss", "standard_error"}
_HIGHEST = {"peak": 1e12, "progress": 1.0}
_FINITE = 1e60  # float32 ends at 3.4e38, and sums are of at most 2**31


def _is_sound(kind: type, name: str, value: Any, hint: Any) -> bool:
    """Whether a field of `kind` is of its type, and within what it counts or measures."""
    if not fits(value, hint):
        return False
    if hint is int:
        return ((kind, name) in _FROM_ONE) <= value < 2**31
    if hint is float:
        return 0 <= value <= _HIGHEST.get(name, _FINITE) or (name in _MAY_BE_NAN and math.isnan(value))
    return name != "lengths" or all(len(pair) == 2 and 0 <= pair[0] <= pair[1] < 2**31 for pair in value)


def _score_from(data: dict[str, Any]) -> Score:
    """A score out of a checkpoint; `utf8_bytes` was once called `size`."""
    return Score(**{"utf8_bytes" if name == "size" else name: value for name, value in data.items()})
