"""What one call of `train` works with: it makes steps, reports, validates, saves, and goes back where numbers fail."""

import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from charlstm.errors import RunError, StorageError, TrainingError, setting
from charlstm.evaluation.static import score_text
from charlstm.events import Event, Finished, Lost, NotSaved, Progress, Reason, Report, RolledBack, SampleDue, Saved
from charlstm.runs.folder import Run
from charlstm.runs.weights import load_weights
from charlstm.runtime.hosts import Hosts
from charlstm.score import Score
from charlstm.text.batches import Windows
from charlstm.text.corpus import Corpus
from charlstm.training.clock import Clock
from charlstm.training.counting import TextCounts
from charlstm.training.journal import Journal, read_facts
from charlstm.training.local_steps import make_stepper
from charlstm.training.resuming import last_checkpoint
from charlstm.training.saver import Saver
from charlstm.training.steps import TrainState

_MAX_SKIPPED = 10  # steps: one may happen, so many do not stop by themselves
_MAX_ROLLBACKS = 5
_EXCERPT = 2048  # characters


class Session:
    """What one call of `train` works with."""

    def __init__(self, run: Run, corpus: Corpus, state: TrainState, journal: Journal, hosts: Hosts) -> None:
        self._config = run.config.training
        self._training_ids, self._validation_ids = corpus.split(self._config.validation)
        excerpt = (self._validation_ids if len(self._validation_ids) else self._training_ids)[:_EXCERPT]
        self._excerpt = corpus.vocabulary.text_of(corpus.vocabulary.decode(excerpt))
        own = hosts.own(self._config.batch_size)
        self._windows = Windows(self._training_ids, self._config.batch_size, self._config.sequence_length, own)
        self._stepper = make_stepper(run.config.model, self._config, self._windows, state, hosts)
        self._hosts, self._said = hosts, set[int]()
        self._saver = Saver(run, hosts.processes)
        self.counts = TextCounts(self._config, self._training_ids, self._validation_ids)
        if journal.cadence and journal.cadence.characters > len(self._validation_ids):
            raise RunError(f"the checkpoint of {run.path} is not of this text", "the file is damaged")
        self.journal = journal
        self.clock = Clock(
            journal.elapsed,
            self._config.minutes and 60 * self._config.minutes - self.counts.seconds,
            2.4 if run.config.model.members > 1 else 1.2,  # each of them is scored alone, too
        )
        self._last_save = self.clock.elapsed()
        self._score_is_finite = True
        if not journal.schedule.total:
            self._set_length((self._next_length() or [0, self._config.steps])[1])
        self._begin_interval()

    def reason_to_end(self, should_stop: Callable[[], bool]) -> Reason | None:
        """Why no further step is made, if none is."""
        if self.journal.finished:
            return "done"
        if self._config.patience and self.journal.validations_since_best >= self._config.patience:
            return "patience"
        return "stopped" if should_stop() else None

    def advance(self) -> None:
        """Start some steps, and note what came of earlier ones; average where that is every few steps."""
        journal, every = self.journal, self._config.average_every or 1
        limit = journal.steps_until_due()
        if every > 1:
            limit = min(limit, every - journal.step % every)
        length = self._next_length()
        if length:
            limit = min(limit, length[0] - journal.step)
        journal.step += self._stepper.dispatch(journal.step, limit, journal.schedule)
        if length and journal.step == length[0]:
            self._set_length(length[1])
        if self.clock.estimate_due:
            journal.add(self._stepper.collect(0))
            if affordable := self.clock.steps_in_budget(journal.step):
                self._set_length(min(affordable, self._config.steps))
        journal.add(self._stepper.collect(1))
        if self._config.average_every and journal.step % every == 0:
            self.catch_up()

    def catch_up(self) -> None:
        """Wait for all steps that were started, before anything is made of their results; average, if need be early."""
        self.journal.add(self._stepper.collect(0))
        self.journal.add(self._stepper.average())

    def lost(self) -> Iterator[Lost]:
        """Processes that the run goes on without, each once."""
        for number, reason in list(self._hosts.left_out.items()):
            if number not in self._said:
                self._said.add(number)
                left = self._hosts.processes - len(self._hosts.left_out)
                yield Lost(process=number, reason=reason, processes=self._hosts.processes, left=left)

    def due(self, should_save: Callable[[], bool], save_every: float) -> Iterator[Event]:
        """Report, validate, sample, go back and save, where it is time to."""
        yield from self.lost()
        validated = improved = False
        if self.journal.report_due:
            self.catch_up()
            with self.clock.pausing():
                report, improved, problem = self._report()
                validated = report.validation_loss is not None
                if problem:
                    yield problem
                yield report
                if self.journal.sample_due(self._config.sample_every):
                    copy = jax.tree.map(jnp.copy, self._stepper.params)  # the next step takes the originals' memory
                    yield SampleDue(step=report.step, weights=self._saver.weights(copy), excerpt=self._excerpt)
            self._begin_interval()
        has_averaged = self.journal.step % (self._config.average_every or 1) == 0  # early averagings are to be few
        is_time = has_averaged and self.clock.elapsed() - self._last_save > save_every
        is_time = is_time or validated or self.journal.finished
        wanted = should_save() or is_time
        failed = self.journal.skipped_lately >= _MAX_SKIPPED or not self._score_is_finite
        if failed or (wanted and not self._is_finite()):
            yield self._roll_back()
            wanted = True
        if wanted and not self.journal.skipped_lately:  # else it is no state to come back to
            yield self.try_to_save(improved)

    def _is_finite(self) -> bool:
        """Whether all parameters are: an update may overflow after a loss and a gradient that did not."""
        self.catch_up()
        return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(self._stepper.params))

    def progress(self) -> Progress:
        """How far the run is."""
        return self.clock.progress(self.journal.step, self.journal.schedule.total)

    def _begin_interval(self) -> None:
        """From here on the speed of the next report is measured."""
        self._stepper.reset_timer()
        self._interval = self.clock.elapsed(), self.journal.step

    def _report(self) -> tuple[Report, bool, NotSaved | None]:
        """The report that is due, validated if that is due; whether it is the best; and whether a save failed."""
        journal, problem, score, improved = self.journal, None, None, False
        began, first = self._interval
        seconds = max(1e-9, self.clock.elapsed() - began)  # none for a report that is made up for after resuming
        present = 1 - len(self._hosts.left_out) / self._hosts.processes
        speed = (journal.step - first) * self._windows.characters_per_step * present / seconds
        clipped, skipped = journal.clipped, journal.skipped
        journal.close_interval()
        if journal.validation_due:
            score, improved, problem = self._validate()
        report = Report(
            step=journal.step,
            epoch=self._windows.epoch(journal.step),
            characters=journal.step * self._windows.characters_per_step,
            loss=journal.loss,
            validation_loss=score and score.loss,
            learning_rate=journal.schedule.rate(journal.step - 1),
            gradient_norm=journal.gradient_norm,
            characters_per_second=speed,
            elapsed_seconds=self.clock.elapsed(),
            clipped=clipped,
            skipped=skipped,
        )
        try:
            self._saver.report(report)
        except StorageError as error:
            problem = NotSaved(step=journal.step, message=error.raw_message)
        return report, improved, problem

    def _validate(self) -> tuple[Score, bool, NotSaved | None]:
        """Score what is held out; whether that is the best so far, when the weights are saved; and if this failed."""
        assert self.journal.cadence
        params = self._stepper.params
        score = score_text(self._saver.weights(params), self._validation_ids[: self.journal.cadence.characters])
        self._score_is_finite = math.isfinite(score.loss)
        improved = self._score_is_finite and self.journal.note_validation(score)
        try:
            if improved:
                self._saver.save_weights(params)
        except StorageError as error:
            return score, improved, NotSaved(step=self.journal.step, message=error.raw_message)
        return score, improved, None

    def _roll_back(self) -> RolledBack:
        """Return to the last save, with half of the peak rate.

        Raises:
            TrainingError: this has not helped.
        """
        run, left = self._saver.run, self.journal
        rate = left.schedule.peak / 2
        if left.rollbacks >= _MAX_ROLLBACKS:
            raise TrainingError(
                f"the loss is not finite after step {left.step:,}, though the run went back to its last save "
                f"{left.rollbacks} times, with a lower rate each",
                f"try a lower {setting('learning_rate')} than {self._config.learning_rate:g}; what was saved is sound",
            )
        checkpoint = last_checkpoint(run)
        self.journal, _ = read_facts(checkpoint.facts, str(run.path))
        self.journal.schedule = self.journal.schedule.with_peak(rate)
        self.journal.rollbacks = left.rollbacks + 1
        run.metrics.cut(self.journal.step)
        self._score_is_finite = True
        self._stepper.go_on_from(checkpoint.state)
        self.clock.go_back(self.journal.step)
        self._begin_interval()
        return RolledBack(step=left.step, back_to=self.journal.step, learning_rate=rate)

    def save(self, with_weights: bool = True) -> None:
        """Save all that resuming needs.

        Raises:
            StorageError: it cannot be written.
        """
        self.catch_up()
        self.journal.elapsed = self._last_save = self.clock.elapsed()
        self._saver.save(self._stepper.whole_state(), self.journal, with_weights)
        self._stepper.reset_timer()

    def try_to_save(self, best: bool) -> Saved | NotSaved:
        """The same, and what came of it: training that goes on tries again later."""
        try:
            self.save(with_weights=self.journal.step > 0)
        except StorageError as error:
            return NotSaved(step=self.journal.step, message=error.raw_message)
        return Saved(step=self.journal.step, best=best or self.journal.best is None)

    def add_counts(self) -> Score | None:
        """Put counts beside the network; the score of both, where there was a validation.

        Raises:
            StorageError: they cannot be written.
        """
        return self.counts.add(self._saver, self.journal.best)

    def score_members(self) -> list[Score]:
        """Score each of several members alone as the last validation did all of them together."""
        run = self._saver.run
        if not self.journal.best or run.config.model.members == 1:
            return []
        weights, ids = load_weights(run.weights_path), self._validation_ids[: self.journal.best.characters + 1]
        return [score_text(weights.member(k).alone, ids) for k in range(run.config.model.members)]

    def finished(self, reason: Reason, with_counts: Score | None, members: list[Score]) -> Finished:
        """The last event."""
        journal = self.journal
        return Finished(
            reason=reason,
            step=journal.step,
            best=journal.best,
            best_step=journal.best_step,
            with_counts=with_counts,
            members=members,
            held_out=max(0, len(self._validation_ids) - 1),
            loss=journal.loss,
            elapsed_seconds=self.clock.elapsed(),
            schedule=journal.repeatable,
        )

    def _set_length(self, total: int) -> None:
        every = self._config.average_every or 1
        self.journal.set_length(total, self._windows.characters_per_step, len(self._validation_ids), every)

    def _next_length(self) -> list[int] | None:
        """Where a run that is repeated next sets its length; once it is prolonged, it has an end of its own."""
        lengths = self._config.schedule[len(self.journal.lengths) :]
        return lengths[0] if lengths and not self.journal.prolonged else None
