"""Training: the jitted steps, and `train`, a generator of events.

K: room for steps in one dispatch.  T: characters of a window.  B: streams.
"""

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from charlstm.text.batches import Windows
from charlstm.config import ModelConfig, TrainingConfig
from charlstm.text.corpus import Corpus
from charlstm.errors import RunError, TrainingError
from charlstm.evaluation.static import evaluate
from charlstm.events import Compiling, Event, Finished, Reason, Report, SampleDue, Saved
from charlstm.training.journal import Cadence, Clock, Journal
from charlstm.model.network import States, cross_entropy, define, drop_weights, dropout_masks, initial_parameters, zero_states
from charlstm.training.optimizer import Schedule, make_optimizer
from charlstm.runs.folder import Run
from charlstm.score import Score
from charlstm.runtime.mesh import STREAMS, by_stream, everywhere, make_mesh, mean_over_devices, own_streams

ROOM = 32  # K
_DISPATCH_SECONDS = 0.25  # work handed to the device at once: little enough for the display and for Ctrl-C
_SAVE_SECONDS = 60.0


class TrainState(NamedTuple):
    """All arrays that change from step to step."""

    params: nnx.State
    optimizer: optax.OptState
    states: States
    step: Array


def initial_state(model: ModelConfig, config: TrainingConfig, params: nnx.State | None = None) -> TrainState:
    """The state before the first step, with fresh parameters if none are given."""
    params = initial_parameters(model, config.seed) if params is None else params
    optimizer = jax.jit(make_optimizer(config).init)(params)
    return TrainState(params, optimizer, zero_states(model, config.batch_size), jnp.int32(0))


def place(mesh: Mesh, state: TrainState) -> TrainState:
    """Put a state on the devices: recurrent states by stream, all else everywhere."""
    params, optimizer, step = everywhere(mesh, (state.params, state.optimizer, state.step))
    return TrainState(params, optimizer, by_stream(mesh, state.states), step)


def make_steps(model: ModelConfig, config: TrainingConfig, mesh: Mesh) -> Callable:
    """Compile-ready `steps(state, inputs, targets, rates, count) -> (state, loss_sum, gradient_norm)`.

    `inputs` and `targets` are `[K, T, B]`, `rates` `[K]`; the first `count` of them are used. One dispatch makes many
    steps, so that Python's time hides behind the device's and freed memory is used again by the next step. How steps
    are divided into dispatches changes nothing about the result.
    """
    definition, _ = define(model)
    optimizer = make_optimizer(config)
    precision = jnp.dtype(config.precision)
    key = jax.random.key(config.seed)

    def loss_of(params, states, inputs, targets, step):
        step_key = jax.random.fold_in(key, step)
        masks = dropout_masks(step_key, own_streams(inputs.shape[1]), model)
        params = drop_weights(jax.random.fold_in(step_key, model.layers), params, model)
        logits, states = nnx.merge(definition, params)(inputs, states, masks, precision)
        return cross_entropy(logits, targets, model.rare).mean(), states

    def one_step(state: TrainState, inputs, targets, rate) -> tuple[TrainState, Array, Array]:
        (loss, states), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            state.params, state.states, inputs, targets, state.step
        )
        gradient, loss = mean_over_devices((gradient, loss))
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = jax.tree.map(lambda p, u: p + rate * u, state.params, updates)
        return TrainState(params, optimizer_state, states, state.step + 1), loss, optax.tree.norm(gradient)

    state_spec = TrainState(P(), P(), P(STREAMS), P())  # pyright: ignore[reportArgumentType]
    ids_spec = P(None, None, STREAMS)

    @partial(jax.jit, donate_argnums=0)
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(state_spec, ids_spec, ids_spec, P(), P()),
        out_specs=(state_spec, P(), P()),
        check_vma=False,
    )
    def steps(state, inputs, targets, rates, count):
        def body(k, carry):
            state, loss_sum, _ = carry
            state, loss, norm = one_step(state, inputs[k], targets[k], rates[k])
            return state, loss_sum + loss, norm

        return jax.lax.fori_loop(0, count, body, (state, jnp.float32(0), jnp.float32(0)))

    return steps


class Stepper:
    """Makes steps without waiting for them: while the device computes one dispatch, the next one is prepared."""

    def __init__(self, model: ModelConfig, config: TrainingConfig, windows: Windows, state: TrainState) -> None:
        self.windows = windows
        self.mesh = make_mesh(config.batch_size)
        self.state = place(self.mesh, state)
        self.gradient_norm = 0.0
        self._steps = make_steps(model, config, self.mesh)
        self._waiting: deque[tuple[int, Array, Array]] = deque()
        self._seconds_per_step = math.inf  # so the first dispatch is a single step
        self._last = time.perf_counter()

    def dispatch(self, step: int, most: int, schedule: Schedule) -> int:
        """Start at most `most` steps, without waiting for them; returns how many."""
        count = max(1, min(most, ROOM, int(_DISPATCH_SECONDS / self._seconds_per_step)))
        inputs, targets = (by_stream(self.mesh, ids, 2) for ids in self.windows.windows(step, count, ROOM))
        rates = schedule.rates(step, count, ROOM)
        self.state, loss_sum, norm = self._steps(self.state, inputs, targets, rates, count)
        self._waiting.append((count, loss_sum, norm))
        return count

    def collect(self, under_way: int) -> tuple[float, int]:
        """Wait until at most `under_way` dispatches are; returns the sum of the losses that came in, and how many."""
        losses, steps = 0.0, 0
        while len(self._waiting) > under_way:
            count, loss_sum, norm = self._waiting.popleft()
            losses += float(loss_sum)
            self.gradient_norm = float(norm)
            steps += count
            now = time.perf_counter()
            self._seconds_per_step = max(1e-6, (now - self._last) / count)
            self._last = now
        return losses, steps

    def rest(self) -> None:
        """Time that passed since the last dispatch was not the device's."""
        self._last = time.perf_counter()


def train(
    run: Run,
    corpus: Corpus,
    params: nnx.State | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    spent: float = 0.0,
) -> Iterator[Event]:
    """Train `run` on `corpus`, saving as it goes; events tell what happens.

    `params` are the parameters to start from, fresh ones by default. `resume` goes on from the last checkpoint, bit
    for bit as if the run had never been stopped. `stop` is asked between dispatches. `spent` are seconds of a new run's
    minutes that are gone already.

    Raises:
        RunError: there is nothing to resume, the run has finished, or its checkpoint is damaged.
        TrainingError: the loss is not finite.
        StorageError: a save failed; what was saved before is whole.
    """
    config, model = run.config.training, run.config.model
    training_ids, validation_ids = corpus.split(config.validation)
    windows = Windows(training_ids, config.batch_size, config.sequence_length)
    state, journal = _begin(run, params, resume, spent)
    yield Compiling(journal.step)
    clock = Clock(journal.elapsed, config.minutes and config.minutes * 60)
    stepper = Stepper(model, config, windows, state)
    del state  # its buffers are donated to the first step
    interval_began = last_save = clock.elapsed()
    interval_step = journal.step
    if not journal.schedule.total:
        _plan(journal, config.steps, windows, validation_ids)

    while not (reason := _reason_to_end(journal, config, stop)):
        journal.step += stepper.dispatch(journal.step, journal.steps_until_due(), journal.schedule)
        if clock.estimate_due:
            _catch_up(stepper, journal, config)
            if affordable := clock.steps_in_budget(journal.step):
                _plan(journal, min(affordable, config.steps), windows, validation_ids)
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
                yield SampleDue(journal.step, stepper.state.params)
            clock.pause(clock.elapsed() - now)
            stepper.rest()
            interval_began, interval_step = clock.elapsed(), journal.step
        if validated or clock.elapsed() - last_save > _SAVE_SECONDS:
            _catch_up(stepper, journal, config)
            yield _save(run, stepper, journal, clock, improved)
            last_save = clock.elapsed()

    journal.ended = "" if reason == "stopped" else reason
    _catch_up(stepper, journal, config)
    if journal.best is None:  # no validation yet, or none wanted: the last weights are the ones to keep
        run.save_weights(stepper.state.params)
    yield _save(run, stepper, journal, clock, journal.best is None)
    held_out = max(0, len(validation_ids) - 1)
    yield Finished(reason, journal.step, journal.best, journal.best_step, held_out, journal.loss, clock.elapsed())


def _begin(run: Run, params: nnx.State | None, resume: bool, spent: float) -> tuple[TrainState, Journal]:
    """The arrays and the journal to start from: fresh ones, or those of the last checkpoint."""
    config = run.config.training
    state = initial_state(run.config.model, config, params)
    if not resume:
        return state, Journal(Schedule(config.learning_rate, config.warmup), elapsed=spent)
    state, facts = run.load_checkpoint(state)
    journal = Journal.from_json(facts)
    if journal.ended:
        raise RunError(f"{run.path} has finished", f"`--init-from {run.path}` starts a new run from its weights")
    run.cut_metrics(journal.step)
    return state, journal


def _plan(journal: Journal, total: int, windows: Windows, validation_ids: np.ndarray) -> None:
    """Set the number of steps, and from it how often to report and to validate."""
    if total != journal.schedule.total:
        journal.schedule = journal.schedule.replan(journal.step, total)
        # Scores are compared with each other, so they go on being of the same characters.
        characters = journal.cadence.characters if journal.best and journal.cadence else None
        journal.cadence = Cadence.of(total, windows.characters_per_step, len(validation_ids), characters)


def _validate(run: Run, params: nnx.State, journal: Journal, validation_ids: np.ndarray) -> tuple[Score, bool]:
    """Score what is held out, and save the weights if they are the best so far."""
    assert journal.cadence
    score = evaluate(run.config.model, params, validation_ids[: journal.cadence.characters], run.vocabulary)
    _require_finite(score.loss, journal.step, run.config.training)
    if improved := journal.note_validation(score):
        run.save_weights(params)
    return score, improved


def _reason_to_end(journal: Journal, config: TrainingConfig, stop: Callable[[], bool]) -> Reason | None:
    if journal.finished:
        return "done"
    if config.patience and journal.validations_since_best >= config.patience:
        return "patience"
    return "stopped" if stop() else None


def _catch_up(stepper: Stepper, journal: Journal, config: TrainingConfig) -> None:
    """Wait for all steps that were started, before anything is made of their results."""
    journal.add_losses(*stepper.collect(0))
    _require_finite(journal.loss_sum + stepper.gradient_norm, journal.step, config)


def _require_finite(loss: float, step: int, config: TrainingConfig) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} before step {step + 1:,}",
            f"try a lower --learning-rate than {config.learning_rate:g}; what was saved before, if anything, is sound",
        )


def _save(run: Run, stepper: Stepper, journal: Journal, clock: Clock, best: bool) -> Saved:
    journal.elapsed = clock.elapsed()
    run.save_checkpoint(stepper.state, journal.to_json())
    stepper.rest()
    return Saved(journal.step, best)
