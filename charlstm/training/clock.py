"""The time that a run has taken, and how many steps what is left of it will hold."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from charlstm.events import Progress

_STOPPED_SECONDS, _STOPPED_SHARE = 2.0, 0.02
_SOON = 0.01  # of a run's time


class Clock:
    """The time that a run has taken, over all its sessions, and what is left of its budget of `seconds`, if any.

    Its end takes `closing` times as long as the longest pause before: a last validation, should it be a fifth slower.
    It stands still while the process does: a machine that sleeps, or a process that is stopped, trains nothing, and a
    minute is a minute of training.
    """

    # Shares of the budget at which the number of steps is estimated anew: machines do not keep their speed, and a
    # run must end within 5% of its time. The learning rate stays continuous (optimizer.Schedule).
    _MILESTONES = (0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.96)

    def __init__(self, elapsed: float, seconds: float | None, closing: float = 1.2) -> None:
        self._elapsed, self._closing = elapsed, closing
        self._read = time.perf_counter(), time.process_time()
        self._seconds = seconds
        milestones = [share * seconds for share in self._MILESTONES] if seconds else []
        # The last one always: a run that has no time left when it begins is to know that, too.
        self._milestones = [due for due in milestones if due > elapsed] or milestones[-1:]
        self._compiled: tuple[float, int] | None = None  # when the first step of this session was made, and which
        self._last_estimate = 0.0, 0  # when the last estimate was made, and at which step
        self._paused = 0.0  # seconds since the last estimate
        self._longest_pause = 0.0  # of the whole run

    def elapsed(self) -> float:
        """Seconds of work since the run began, without the time between its sessions."""
        wall, processor = time.perf_counter(), time.process_time()
        passed, worked = wall - self._read[0], processor - self._read[1]
        # Nothing that is done here takes so long and so little of the processor.
        self._elapsed += worked if passed > _STOPPED_SECONDS and worked < _STOPPED_SHARE * passed else passed
        self._read = wall, processor
        return self._elapsed

    def go_back(self, step: int) -> None:
        """The run has gone back to `step`, and has less time for more steps: estimate anew, soon."""
        now = self.elapsed()
        self._compiled = self._last_estimate = now, step
        self._milestones = [now + _SOON * (self._seconds or 0), *self._milestones]

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """In this block time goes into a validation or a sample, not into steps."""
        began = self.elapsed()
        yield
        self.pause(self.elapsed() - began)

    def pause(self, seconds: float) -> None:
        """So much time did not go into steps."""
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
        return step + max(1, int((self._seconds - now - self._closing * self._longest_pause) / pace))

    def progress(self, step: int, total: int) -> Progress:
        """How far the run is: by the speed of its steps, and before that is known by its budget."""
        now = self.elapsed()
        left = self._seconds and max(0.0, self._seconds - now)
        if self._compiled and total and step > self._compiled[1]:
            left = (total - step) * (now - self._compiled[0]) / (step - self._compiled[1])
        fraction = 0.0 if left is None else now / max(now + left, 1e-9)
        return Progress(step=step, total=total, fraction=fraction, seconds_left=left)
