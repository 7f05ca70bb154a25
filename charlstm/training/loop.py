"""Training a run: `train`, a generator of events."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from charlstm.config import TrainingConfig
from charlstm.errors import RunError, TrainingError, setting
from charlstm.evaluation.static import score_text
from charlstm.events import Compiling, Event, Finished, Reason, Report, SampleDue, Saved
from charlstm.runs.checkpoints import load_checkpoint, save_checkpoint
from charlstm.runs.folder import Run
from charlstm.runs.weights import Weights, save_weights
from charlstm.score import Score
from charlstm.text.batches import Windows
from charlstm.text.corpus import Corpus
from charlstm.training.journal import Clock, Journal
from charlstm.training.optimizer import Schedule
from charlstm.training.steps import Stepper, TrainState, initial_state


def train(
    run: Run,
    corpus: Corpus,
    params: nnx.State[Any, Any] | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    spent: float = 0.0,
    save_every: float = 60.0,
) -> Iterator[Event]:
    """Train `run` on `corpus`, saving as it goes; events tell what happens.

    `params` are the parameters to start from, fresh ones by default. `resume` continues from the last checkpoint, bit
    for bit as if the run had never been stopped. `should_stop` is asked between dispatches. `spent` are seconds of a
    new run's minutes that are gone already. A checkpoint is written every `save_every` seconds, and after validations.

    Raises:
        RunError: there is nothing to resume, the run has finished, or its checkpoint is damaged.
        TrainingError: the loss is not finite.
        StorageError: a save failed; what was saved before is whole.
    """
    config, model = run.config.training, run.config.model
    training_ids, validation_ids = corpus.split(config.validation)
    windows = Windows(training_ids, config.batch_size, config.sequence_length)
    state, journal = _begin(run, params, resume, spent)
    yield Compiling(step=journal.step)
    clock = Clock(journal.elapsed, config.minutes and config.minutes * 60)
    stepper = Stepper(model, config, windows, state)
    del state  # its buffers are donated to the first step
    interval_began = last_save = clock.elapsed()
    interval_step = journal.step
    if not journal.schedule.total:
        journal.set_length(config.steps, windows.characters_per_step, len(validation_ids))

    while not (reason := _reason_to_end(journal, config, should_stop)):
        journal.step += stepper.dispatch(journal.step, journal.steps_until_due(), journal.schedule)
        if clock.estimate_due:
            _catch_up(stepper, journal, config)
            if affordable := clock.steps_in_budget(journal.step):
                total = min(affordable, config.steps)
                journal.set_length(total, windows.characters_per_step, len(validation_ids))
        journal.add_losses(*stepper.collect(1))
        yield clock.progress(journal.step, journal.schedule.total)

        improved = validated = False
        if journal.report_due:
            _catch_up(stepper, journal, config)
            now = clock.elapsed()
            speed = (journal.step - interval_step) * windows.characters_per_step / (now - interval_began)
            loss, score = journal.close_interval(), None
            if validated := journal.validation_due:
                score, improved = _validate(run, stepper.state.params, journal, validation_ids)
            report = Report(
                step=journal.step,
                epoch=windows.epoch(journal.step),
                characters=journal.step * windows.characters_per_step,
                loss=loss,
                validation_loss=score and score.loss,
                learning_rate=journal.schedule.rate(journal.step - 1),
                gradient_norm=stepper.gradient_norm,
                characters_per_second=speed,
                elapsed_seconds=clock.elapsed(),
            )
            run.append_metrics(dataclasses.asdict(report))
            yield report
            if journal.sample_due(config.sample_every):
                copy = jax.tree.map(jnp.copy, stepper.state.params)  # the next step takes the originals' memory
                yield SampleDue(step=journal.step, weights=Weights(run.config, run.vocabulary, copy))
            clock.pause(clock.elapsed() - now)
            stepper.reset_timer()
            interval_began, interval_step = clock.elapsed(), journal.step
        if validated or clock.elapsed() - last_save > save_every:
            _catch_up(stepper, journal, config)
            yield _save(run, stepper, journal, clock, improved)
            last_save = clock.elapsed()

    journal.ended = "" if reason == "stopped" else reason
    _catch_up(stepper, journal, config)
    if journal.best is None:  # no validation yet, or none wanted: the last weights are the ones to keep
        save_weights(run.weights_path, Weights(run.config, run.vocabulary, stepper.state.params))
    yield _save(run, stepper, journal, clock, journal.best is None)
    held_out = max(0, len(validation_ids) - 1)
    yield Finished(
        reason=reason,
        step=journal.step,
        best=journal.best,
        best_step=journal.best_step,
        held_out=held_out,
        loss=journal.loss,
        elapsed_seconds=clock.elapsed(),
    )


def _begin(run: Run, params: nnx.State | None, resume: bool, spent: float) -> tuple[TrainState, Journal]:
    """The arrays and the journal to start from: fresh ones, or those of the last checkpoint."""
    config = run.config.training
    state = initial_state(run.config.model, config, params)
    if not resume:
        return state, Journal(Schedule(config.learning_rate, config.warmup), elapsed=spent)
    state, facts = load_checkpoint(run, state)
    journal = Journal.from_dict(facts)
    if journal.ended:
        raise RunError(
            f"{run.path} has finished", f"{setting('init_from', run.path)} starts a new run from its weights"
        )
    run.cut_metrics(journal.step)
    return state, journal


def _validate(run: Run, params: nnx.State, journal: Journal, validation_ids: np.ndarray) -> tuple[Score, bool]:
    """Score what is held out, and save the weights if they are the best so far."""
    assert journal.cadence
    weights = Weights(run.config, run.vocabulary, params)
    score = score_text(weights, validation_ids[: journal.cadence.characters])
    _require_finite(score.loss, journal.step, run.config.training)
    if improved := journal.note_validation(score):
        save_weights(run.weights_path, weights)
    return score, improved


def _reason_to_end(journal: Journal, config: TrainingConfig, should_stop: Callable[[], bool]) -> Reason | None:
    if journal.finished:
        return "done"
    if config.patience and journal.validations_since_best >= config.patience:
        return "patience"
    return "stopped" if should_stop() else None


def _catch_up(stepper: Stepper, journal: Journal, config: TrainingConfig) -> None:
    """Wait for all steps that were started, before anything is made of their results."""
    journal.add_losses(*stepper.collect(0))
    _require_finite(journal.loss_sum + stepper.gradient_norm, journal.step, config)


def _require_finite(loss: float, step: int, config: TrainingConfig) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} before step {step + 1:,}",
            f"try a lower {setting('learning_rate')} than {config.learning_rate:g}; "
            "what was saved before, if anything, is sound",
        )


def _save(run: Run, stepper: Stepper, journal: Journal, clock: Clock, best: bool) -> Saved:
    journal.elapsed = clock.elapsed()
    save_checkpoint(run, stepper.state, journal.to_dict())
    stepper.reset_timer()
    return Saved(step=journal.step, best=best)
