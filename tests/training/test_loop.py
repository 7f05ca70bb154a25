"""Training: what may not change the result, and that it learns what there is to learn."""

import dataclasses
import itertools
import json
import math
import os
import shutil
import time
from contextlib import closing

import jax
import numpy as np
import optax
import pytest
from conftest import OUTSIDE, make_steps
from flax import nnx

from charlstm.errors import RunError, StorageError, TrainingError
from charlstm.events import Finished, NotSaved, Progress, Report, Resumed, RolledBack, SampleDue, Saved
from charlstm.model.dropout import drop_weights, dropout_masks
from charlstm.model.parameters import abstract_model, to_tensors
from charlstm.options import format_schedule, parse_schedule
from charlstm.runs.checkpoints import load_checkpoint
from charlstm.runs.folder import open_run
from charlstm.runtime.mesh import make_mesh
from charlstm.score import Score
from charlstm.text.batches import Windows
from charlstm.text.corpus import Corpus, open_corpus
from charlstm.text.documents import Documents
from charlstm.text.vocabulary import Vocabulary
from charlstm.training import session, steps
from charlstm.training.clock import Clock
from charlstm.training.journal import Cadence, Journal
from charlstm.training.loop import train
from charlstm.training.optimizer import Schedule
from charlstm.training.steps import Stepper, initial_state


def tensors(path):
    """All tensors of a safetensors file."""
    from safetensors.numpy import load_file

    return load_file(path)


def trained(run, corpus, **options):
    """Train a run to its end; its reports and the last event."""
    happened = list(train(run, corpus, **options))
    assert isinstance(happened[-1], Finished)
    return [event for event in happened if isinstance(event, Report)], happened[-1]


def assert_same_files(one, other):
    """Weights, checkpoints and metrics of two runs are the same in every bit, the clock aside."""
    for name in ("checkpoints/last.safetensors", "weights.safetensors"):
        these, those = tensors(one.path / name), tensors(other.path / name)
        assert these.keys() == those.keys()
        for key in these:
            np.testing.assert_array_equal(these[key], those[key], err_msg=key)
    timeless = [
        [{**report, "elapsed_seconds": 0, "characters_per_second": 0} for report in run.metrics.read()]
        for run in (one, other)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.optimized
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_step_is_one_adamw_update_by_the_gradient_of_its_window_alone(make_run, corpus, dropout):
    # One loop in plain sight: the state is a number to the next window, so no gradient can flow back through it.
    config = make_run(optimizer="adamw", batch_size=8, dropout=dropout).config
    model, settings, schedule = config.model, config.training, Schedule(5e-3, 2, 20)
    windows = Windows(corpus.ids, 8, 16)
    definition, _ = abstract_model(model)
    rule = optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.adamw(1.0, 0.9, 0.99, weight_decay=0.1, mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree)),
    )

    @jax.jit
    def slow_step(params, memory, states, inputs, targets, step, rate):
        def nats(params):
            key = jax.random.fold_in(jax.random.key(settings.seed), step)
            masks = dropout_masks(key, jax.numpy.arange(8), model)
            dropped = drop_weights(jax.random.fold_in(key, model.layers), params, model)
            logits, last = nnx.merge(definition, dropped)(inputs, states, masks)
            return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1).mean(), last

        (loss, last), gradient = jax.value_and_grad(nats, has_aux=True)(params)
        updates, memory = rule.update(gradient, memory, params)
        return jax.tree.map(lambda p, u: p + rate * u, params, updates), memory, last, loss

    start = initial_state(model, settings)
    params, states, losses = start.params, start.states, 0.0
    memory = rule.init(params)
    stepper = Stepper(model, settings, windows, initial_state(model, settings))
    for step in range(5):
        inputs, targets = (jax.numpy.int32(ids) for ids in windows.window(step))
        params, memory, states, loss = slow_step(params, memory, states, inputs, targets, step, schedule.rate(step))
        losses += float(loss)
        stepper.dispatch(step, 1, schedule)
    assert math.isclose(stepper.collect(0).loss, losses, rel_tol=1e-5)
    for name, tensor in to_tensors(params).items():
        np.testing.assert_allclose(to_tensors(stepper.state.params)[name], tensor, atol=1e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(stepper.state.states), jax.tree.leaves(states), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw"}, {"accumulate": 2, "chunk_length": 5}])
def test_a_stopped_and_resumed_run_is_bit_for_bit_the_one_that_never_stopped(make_run, corpus, settings):
    whole, halves = make_run("whole", **settings), make_run("halves", **settings)
    trained(whole, corpus)

    asked = itertools.count()
    _, stopped = trained(halves, corpus, should_stop=lambda: next(asked) >= 10)
    assert stopped.reason == "stopped" and 0 < stopped.step < 20
    _, finished = trained(halves, corpus, resume=True)
    assert finished.reason == "done" and finished.step == 20

    assert_same_files(whole, halves)


def test_a_run_of_documents_is_resumed_bit_for_bit_from_a_text_that_is_read_again(make_run, text_file, monkeypatch):
    documents = Documents("lines", 3)
    corpus = open_corpus([text_file], documents=documents)
    whole, halves = make_run("whole", corpus), make_run("halves", corpus)
    trained(whole, corpus)
    asked = itertools.count()
    trained(halves, corpus, should_stop=lambda: next(asked) >= 10)
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(whole.path.parent / "cache"))
    again = open_corpus([text_file], vocabulary=halves.vocabulary, documents=documents)
    trained(open_run(halves.path), again, resume=True)
    assert_same_files(whole, halves)


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint_bit_for_bit(make_run, corpus):
    whole, killed = make_run("whole", steps=30), make_run("killed", steps=30)
    trained(whole, corpus)

    events = train(killed, corpus)
    saved = next(event for event in events if isinstance(event, Saved))
    reports = [next(event for event in events if isinstance(event, Report)) for _ in range(3)]
    left = shutil.copytree(killed.path, killed.path.with_name("left"))  # three reports behind the checkpoint
    events.close()
    left = open_run(left)
    assert 0 < saved.step < reports[-1].step < 30
    assert [report["step"] for report in left.metrics.read()][-1] == reports[-1].step

    trained(left, corpus, resume=True)
    assert_same_files(whole, left)


def test_a_run_whose_watcher_fails_is_saved_and_goes_on_from_there_bit_for_bit(make_run, corpus):
    whole, left = make_run("whole", steps=30), make_run("left", steps=30)
    trained(whole, corpus)
    with pytest.raises(ZeroDivisionError), closing(train(left, corpus)) as events:
        for event in events:
            if isinstance(event, Progress) and event.step > 6:
                raise ZeroDivisionError
    resumed = train(left, corpus, resume=True)
    assert next(event for event in resumed if isinstance(event, Resumed)).step > 6
    assert isinstance(list(resumed)[-1], Finished)
    assert_same_files(whole, left)


@pytest.mark.optimized
def test_how_steps_are_dispatched_changes_nothing(make_run, corpus):
    config = make_run().config
    windows = Windows(corpus.ids, 4, 16)
    results = []
    for pattern in ([6], [1, 2, 3], [1, 1, 1, 1, 1, 1]):
        stepper = Stepper(config.model, config.training, windows, initial_state(config.model, config.training))
        stepper._seconds_per_step = 1e-6
        step = 0
        for count in pattern:
            step += stepper.dispatch(step, count, Schedule(5e-3, 2, 20))
        stepper.collect(0)
        assert step == 6
        results.append(jax.tree.leaves(stepper.state.params))
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.optimized
def test_one_device_and_two_learn_the_same(make_run, corpus, monkeypatch):
    config = make_run(batch_size=8).config
    windows = Windows(corpus.ids, 8, 16)
    found = []
    for devices in (1, 2):
        mesh = make_mesh(4 * devices)
        assert mesh.size == devices
        monkeypatch.setattr(steps, "make_mesh", lambda streams, mesh=mesh, **_: mesh)
        stepper = Stepper(config.model, config.training, windows, initial_state(config.model, config.training))
        for step in range(4):
            stepper.dispatch(step, 1, Schedule(5e-3, 2, 20))
        found.append((stepper.collect(0).loss, stepper.state.params))
    assert math.isclose(found[0][0], found[1][0], rel_tol=1e-4)
    for a, b in zip(*(jax.tree.leaves(params) for _, params in found), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)  # Muon turns rounding of 1e-7 into a little more


def test_the_steps_are_compiled_once(make_run, corpus, monkeypatch):
    made = []
    make_steps = steps.make_steps
    monkeypatch.setattr(steps, "make_steps", lambda *arguments: made.append(make_steps(*arguments)) or made[-1])
    trained(make_run(), corpus)
    assert len(made) == 1 and made[0]._cache_size() == 1


def test_how_long_a_run_is_does_not_enter_its_program(make_run):
    # So a run that is prolonged has its program already; and tests may share it.
    one = make_run("one").config
    other = make_run(
        "other", steps=7, minutes=2.0, learning_rate=0.3, warmup=1, validation=0.0, patience=3, sample_every=2,
        schedule=[[0, 7]],
    ).config  # fmt: skip
    changed = {name for name, value in vars(one.training).items() if value != getattr(other.training, name)}
    assert changed == OUTSIDE
    ids, rates = np.zeros((steps.MAX_STEPS, 16, 4), np.uint8), np.zeros(steps.MAX_STEPS, np.float32)
    programs = [
        make_steps(each.model, each.training, make_mesh(4))
        .lower(initial_state(each.model, each.training), ids, ids, rates, 1)
        .as_text()
        for each in (one, other)
    ]
    assert programs[0] == programs[1]


def test_a_report_has_every_figure_and_the_metrics_are_the_reports(make_run, corpus):
    run = make_run()
    reports, finished = trained(run, corpus)
    lines = [json.loads(line) for line in run.metrics.path.read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [report.step for report in reports]
    assert set(lines[0]) == {
        "step", "epoch", "characters", "loss", "validation_loss", "learning_rate", "gradient_norm",
        "characters_per_second", "elapsed_seconds", "clipped", "skipped", "crc32",
    }  # fmt: skip
    assert lines[-1]["validation_loss"] is not None
    assert finished.best and finished.best.loss == min(r["validation_loss"] for r in lines if r["validation_loss"])


def test_the_weights_kept_are_those_of_the_best_validation(make_run, corpus):
    from charlstm.evaluation.static import score_text
    from charlstm.runs.weights import load_weights

    run = make_run(learning_rate=0.3, steps=40)  # so high a rate makes it worse at times
    _, finished = trained(run, corpus)
    weights = load_weights(run.path)
    score = score_text(weights, corpus.split(0.1)[1])
    assert finished.best and math.isclose(score.loss, finished.best.loss, rel_tol=1e-6)


def test_patience_ends_a_run_that_no_longer_improves(make_run, corpus):
    # At such a rate no float32 of the predictions ever changes, so only the first validation is an improvement.
    run = make_run(learning_rate=1e-12, steps=400, patience=2)
    _, finished = trained(run, corpus)
    validated = [report["step"] for report in run.metrics.read() if report["validation_loss"] is not None]
    assert finished.reason == "patience" and len(validated) == 3
    assert finished.best_step == validated[0] and finished.step == validated[2] < 400


@pytest.fixture
def even_clock(monkeypatch):
    """A machine on which a step takes 10 ms, compiling half a second, and all else no time."""
    now, dispatch = 0.0, Stepper.dispatch

    def timed(stepper, step, most, schedule):
        nonlocal now
        count = dispatch(stepper, step, most, schedule)
        now += 0.01 * count + (0.5 if step == 0 else 0)
        return count

    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, name, lambda: now)
    monkeypatch.setattr(Stepper, "dispatch", timed)


@pytest.mark.usefixtures("even_clock")
@pytest.mark.parametrize("steps", [400, 10**6])
def test_minutes_end_where_the_rate_reaches_zero(make_run, corpus, steps):
    reports, finished = trained(make_run(minutes=0.05, steps=steps), corpus)
    assert finished.reason == "done" and finished.best_step
    assert 235 <= finished.step == reports[-1].step <= 251 and reports[-1].elapsed_seconds <= 3.01
    rates = [report.learning_rate for report in reports]
    assert rates == sorted(rates, reverse=True) and max(rates) <= 5e-3 and rates[-1] < 0.03 * rates[0]


@pytest.mark.usefixtures("even_clock")
@pytest.mark.parametrize("steps", [1, 2, 20, 200])
def test_no_step_is_made_beyond_the_limit_however_many_minutes_are_left(make_run, corpus, steps):
    reports, finished = trained(make_run(minutes=1.0, steps=steps), corpus)
    assert finished.reason == "done" and finished.step == steps and finished.best
    assert steps < 20 or reports[-1].learning_rate < 0.1 * 5e-3


def test_a_rate_beyond_all_reason_is_an_error_and_not_a_run_of_nan(make_run, corpus):
    with pytest.raises(TrainingError, match="loss is not finite after step") as caught:
        trained(make_run(learning_rate=1e12, clip=1e12, optimizer="adamw"), corpus)
    assert "learning_rate" in caught.value.hint


def test_what_is_not_finite_is_never_saved(make_run, corpus, monkeypatch):
    monkeypatch.setattr(Cadence, "of", lambda *_: Cadence(1000, 1000, 0))  # saves come long before any report
    run = make_run(optimizer="adamw", learning_rate=1e12, steps=2000, validation=0.0)
    with pytest.raises(TrainingError, match="loss is not finite after step"):
        trained(run, corpus, save_every=-1.0)
    kept = tensors(run.path / "checkpoints" / "last.safetensors")
    assert [name for name, tensor in kept.items() if not np.isfinite(tensor).all()] == []
    facts = load_checkpoint(run, initial_state(run.config.model, run.config.training)).facts
    assert math.isfinite(facts["loss_sum"]) and 0 <= facts["step"] < 2000


def test_a_validation_that_is_not_finite_is_an_error_and_not_the_best(make_run, corpus, monkeypatch):
    monkeypatch.setattr(session, "score_text", lambda *_: Score(math.nan, 1, 1))
    run = make_run()
    with pytest.raises(TrainingError, match="loss is not finite after step"):
        trained(run, corpus)
    assert not run.weights_path.exists()


def test_all_validations_of_a_run_are_of_the_same_characters():
    book = Journal(Schedule(1e-3, 1))
    book.set_length(3000, 8 * 64, 10**6)
    assert book.cadence and (before := book.cadence).characters < 10**6
    book.note_validation(Score(1.0, 1, 1))
    book.set_length(6000, 8 * 64, 10**6)
    assert book.cadence.characters == before.characters and book.cadence.report == 60


def test_the_first_speed_after_resuming_is_that_of_its_own_steps(make_run, corpus, monkeypatch):
    made, dispatch = [0.0], Stepper.dispatch

    def one_second_each(self, *arguments):
        count = dispatch(self, *arguments)
        made[0] += count
        return count

    monkeypatch.setattr(steps, "MAX_STEPS", 1)
    monkeypatch.setattr(Cadence, "of", lambda *_: Cadence(10, 20, 0))
    monkeypatch.setattr(Stepper, "dispatch", one_second_each)
    monkeypatch.setattr(Clock, "elapsed", lambda _: made[0])
    run, asked = make_run(steps=20), itertools.count()
    trained(run, corpus, should_stop=lambda: next(asked) == 4)
    reports, _ = trained(run, corpus, resume=True)
    assert [report.characters_per_second for report in reports] == [4 * 16, 4 * 16]


def test_a_finished_run_and_a_run_without_checkpoint_cannot_be_resumed(make_run, corpus):
    run = make_run()
    with pytest.raises(RunError, match="no checkpoint"):
        trained(run, corpus, resume=True)
    trained(run, corpus)
    with pytest.raises(RunError, match="finished"):
        trained(run, corpus, resume=True)


# --- steps that are not finite ---


@pytest.fixture
def poisoned(monkeypatch):
    """A function that makes the loss of training NaN at chosen calls of a dispatch: `poisoned(lambda step: ...)`."""
    dispatch = Stepper.dispatch

    def poison(is_bad):
        def harmed(stepper, step, limit, schedule):
            if not is_bad(step, schedule):
                return dispatch(stepper, step, 1, schedule)
            kept = stepper.state
            params = jax.tree.map(lambda leaf: leaf * jax.numpy.nan, kept.params)
            copy = jax.tree.map(jax.numpy.copy, kept)
            stepper.state = kept._replace(params=params)
            count = dispatch(stepper, step, 1, schedule)
            stepper.state = copy._replace(step=stepper.state.step)
            return count

        monkeypatch.setattr(Stepper, "dispatch", harmed)

    return poison


def test_a_step_that_is_not_finite_changes_nothing(make_run, corpus):
    config = make_run().config
    stepper = Stepper(
        config.model, config.training, Windows(corpus.ids, 4, 16), initial_state(config.model, config.training)
    )
    stepper.dispatch(0, 1, Schedule(5e-3, 2, 20))
    before = jax.tree.map(np.array, stepper.state)
    # A rate of NaN harms the new parameters only: they are what the next step finds.
    stepper.state = stepper.state._replace(
        params=jax.tree.map(lambda leaf: leaf.at[0].set(jax.numpy.nan), stepper.state.params)
    )
    harmed = jax.tree.map(np.array, stepper.state)
    stepper.dispatch(1, 1, Schedule(5e-3, 2, 20))
    done = stepper.collect(0)
    assert (done.steps, done.skipped) == (1, 1) and math.isfinite(done.loss) and math.isfinite(done.gradient_norm)
    for a, b in zip(
        jax.tree.leaves(stepper.state._replace(step=0)), jax.tree.leaves(harmed._replace(step=0)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert int(stepper.state.step) == int(before.step) + 1 == 2


def test_a_few_bad_steps_are_skipped_and_counted(make_run, corpus, poisoned):
    poisoned(lambda step, _: step in (3, 9))
    run = make_run()
    reports, finished = trained(run, corpus)
    assert finished.reason == "done" and finished.best
    assert [report.step for report in reports if report.skipped] == [4, 10]
    assert [report["skipped"] for report in run.metrics.read()] == [report.skipped for report in reports]
    assert all((report["loss"] is None) == (report["step"] in (4, 10)) for report in run.metrics.read())


def test_many_bad_steps_lead_back_to_the_last_save_and_a_lower_rate(make_run, corpus, poisoned):
    poisoned(lambda step, schedule: step >= 10 and schedule.peak > 2e-3)
    run = make_run(steps=40)
    happened = list(train(run, corpus))
    back = [event for event in happened if isinstance(event, RolledBack)]
    assert [event.learning_rate for event in back] == [2.5e-3, 1.25e-3]
    assert all(event.back_to <= 10 < event.step for event in back)
    assert isinstance(happened[-1], Finished) and happened[-1].reason == "done" and happened[-1].schedule == []
    reports = run.metrics.read()
    assert [report["step"] for report in reports] == sorted({report["step"] for report in reports})
    assert reports[-1]["step"] == 40 and reports[-1]["skipped"] == 0


def test_steps_whose_gradient_is_clipped_are_counted(make_run, corpus):
    for clip, clipped in ((1e-6, 20), (1e12, 0)):
        reports, _ = trained(make_run(str(clip), clip=clip, optimizer="adamw"), corpus)
        assert sum(report.clipped for report in reports) == clipped


# --- saves that fail ---


def test_training_goes_on_where_a_save_fails_and_loses_nothing_when_there_is_room_again(make_run, corpus, monkeypatch):
    whole, run = make_run("whole"), make_run("crowded")
    trained(whole, corpus)
    is_full, fsync = False, os.fsync

    def full(descriptor):
        if is_full:
            raise OSError(28, os.strerror(28))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    happened = []
    for event in train(run, corpus, save_every=0.0):
        happened.append(event)
        is_full = isinstance(event, Progress) and 4 < event.step < 15
    failures = [event for event in happened if isinstance(event, NotSaved)]
    assert failures and all("No space left" in event.message for event in failures)
    assert_same_files(whole, run)


def test_a_last_save_that_fails_is_an_error_and_the_one_before_it_is_whole(make_run, corpus, monkeypatch):
    run = make_run()
    with pytest.raises(StorageError, match="No space left"):
        for event in train(run, corpus):
            if isinstance(event, Progress) and event.step == 10:
                monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    monkeypatch.undo()
    _, finished = trained(run, corpus, resume=True)
    assert finished.reason == "done" and finished.step == 20


def test_a_save_can_be_asked_for(make_run, corpus):
    asked = itertools.count()
    happened = list(train(make_run(validation=0.0), corpus, should_save=lambda: next(asked) == 5))
    saved = [event.step for event in happened if isinstance(event, Saved)]
    assert len(saved) == 3 and 0 < saved[0] < 20 and saved[1:] == [20, 20]


# --- prolonging and repeating ---


def test_a_finished_run_that_is_prolonged_warms_up_once_more(make_run, corpus):
    run = make_run()
    trained(run, corpus)
    before = run.metrics.read()
    longer = run.with_config(
        dataclasses.replace(run.config, training=dataclasses.replace(run.config.training, steps=50))
    )
    reports, finished = trained(longer, corpus, resume=True)
    assert finished.reason == "done" and finished.step == 50 and finished.schedule == []
    assert run.metrics.read()[: len(before)] == before and run.metrics.read()[-1]["step"] == 50
    rates = [report.learning_rate for report in reports]
    assert reports[0].step == 21 and rates[0] == pytest.approx(5e-3 / 2) and rates[1] > 0.9 * 5e-3
    assert rates[1:] == sorted(rates[1:], reverse=True) and rates[-1] < 0.1 * 5e-3
    with pytest.raises(RunError, match="finished"):
        trained(longer, corpus, resume=True)


def test_a_run_that_repeats_another_is_prolonged_like_any(make_run, corpus):
    run = make_run(schedule=[[0, 30], [4, 20]])
    trained(run, corpus)
    training = dataclasses.replace(run.config.training, steps=30)
    longer, asked = run.with_config(dataclasses.replace(run.config, training=training)), itertools.count()
    _, stopped = trained(longer, corpus, resume=True, should_stop=lambda: next(asked) >= 3)
    assert stopped.reason == "stopped" and 20 < stopped.step < 30
    _, finished = trained(longer, corpus, resume=True)
    assert finished.reason == "done" and finished.step == 30


def test_a_stopped_run_that_is_prolonged_goes_on_from_its_rate(make_run, corpus):
    run, asked = make_run(), itertools.count()
    reports, _ = trained(run, corpus, should_stop=lambda: next(asked) >= 10)
    longer = run.with_config(
        dataclasses.replace(run.config, training=dataclasses.replace(run.config.training, steps=50))
    )
    more, finished = trained(longer, corpus, resume=True)
    assert finished.step == 50
    assert 0.9 * reports[-1].learning_rate < more[0].learning_rate <= reports[-1].learning_rate
    assert [report["step"] for report in run.metrics.read()] == [report.step for report in (*reports, *more)]


def test_a_prolonged_run_that_is_killed_at_once_is_prolonged_all_the_same(make_run, corpus):
    runs = [make_run("whole"), make_run("killed")]
    longer = []
    for run in runs:
        trained(run, corpus)
        training = dataclasses.replace(run.config.training, steps=40)
        longer.append(run.with_config(dataclasses.replace(run.config, training=training)))
    events = train(longer[1], corpus, resume=True)
    next(event for event in events if isinstance(event, Progress))
    left = shutil.copytree(runs[1].path, runs[1].path.with_name("left"))
    events.close()
    trained(longer[0], corpus, resume=True)
    trained(open_run(left), corpus, resume=True)
    assert_same_files(runs[0], open_run(left))


@pytest.mark.usefixtures("even_clock")
def test_a_timed_run_is_repeated_bit_for_bit_by_the_schedule_that_it_ends_with(make_run, corpus):
    timed = make_run("timed", minutes=0.05, steps=400)
    _, finished = trained(timed, corpus)
    assert len(finished.schedule) > 1 and finished.schedule[0] == [0, 400]
    schedule = parse_schedule(format_schedule(finished.schedule))
    again = make_run("again", steps=schedule[-1][1], schedule=schedule)
    _, repeated = trained(again, corpus)
    assert repeated.step == finished.step and repeated.schedule == finished.schedule
    assert_same_files(timed, again)


def test_other_conditions_are_said_when_a_run_goes_on(make_run, corpus, monkeypatch):
    run, asked = make_run(), itertools.count()
    trained(run, corpus, should_stop=lambda: next(asked) >= 5)
    resumed = next(train(run, corpus, resume=True))
    assert isinstance(resumed, Resumed) and resumed.notes == ()
    monkeypatch.setattr(jax, "__version__", "99.0")
    resumed = next(train(run, corpus, resume=True))
    assert isinstance(resumed, Resumed) and "now 99.0" in resumed.notes[0] and "last bits" in resumed.notes[0]


def test_samples_are_offered_as_often_as_asked(make_run, corpus):
    happened = list(train(make_run(sample_every=5), corpus))
    due = [event for event in happened if isinstance(event, SampleDue)]
    assert [event.step for event in due] == [5, 10, 15, 20]
    held_out = corpus.split(0.1)[1]
    assert {event.excerpt for event in due} == {corpus.vocabulary.decode(held_out)}


def test_the_weights_of_a_sample_stay_what_they_were(make_run, corpus):
    events = train(make_run(sample_every=5), corpus)
    due = next(event for event in events if isinstance(event, SampleDue))
    before = jax.tree.map(np.array, due.weights.params)
    assert isinstance(list(events)[-1], Finished)
    for a, b in zip(jax.tree.leaves(due.weights.params), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_markov_source_is_learned_down_to_its_entropy_and_not_below(make_run, numbers):
    # Three symbols; the next one depends on the last two, so that the last one alone, without memory, says too little.
    transitions = numbers.dirichlet([0.4, 0.4, 0.4], (3, 3))
    pairs = np.zeros((9, 9))
    for a, b, c in np.ndindex(3, 3, 3):
        pairs[3 * a + b, 3 * b + c] = transitions[a, b, c]
    triples = np.linalg.matrix_power(pairs, 1000)[0].reshape(3, 3, 1) * transitions
    rate = -(triples * np.log(transitions)).sum()
    doubles = triples.sum(0)
    assert rate + 0.1 < -(doubles * np.log(doubles / doubles.sum(1, keepdims=True))).sum()

    length = 120_000
    uniform, ids, bounds = numbers.random(length), np.zeros(length, np.uint8), transitions.cumsum(-1)
    for t in range(2, length):
        ids[t] = min(2, np.searchsorted(bounds[ids[t - 2], ids[t - 1]], uniform[t]))
    source = Corpus(ids, Vocabulary.of_characters("abc"), "markov")
    run = make_run(
        "markov", source, dropout=0.0, hidden_size=16, steps=500, learning_rate=2e-2, batch_size=16, sequence_length=32
    )
    _, finished = trained(run, source)
    assert finished.best

    # The source's own loss on the validation part is near its entropy rate, at most five standard errors away.
    held_out = source.split(0.1)[1]
    own = -np.log(transitions[held_out[:-2], held_out[1:-1], held_out[2:]]).mean()
    assert abs(own - rate) < 5 * finished.best.standard_error < 0.1
    # On the same text a model that is 0.005 nats from the source scores better than it by luck, but by no more than
    # five times sqrt(2 x 0.005 / 12,000) nats.
    for report in run.metrics.read():
        assert report["validation_loss"] is None or report["validation_loss"] > own - 0.005
    assert finished.best.loss < own + 0.01
