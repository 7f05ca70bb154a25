"""Training: what may not change the result, and that it learns what there is to learn."""

import itertools
import json
import math

import jax
import numpy as np
import pytest

from charlstm import training
from charlstm.batching import Windows
from charlstm.corpus import Corpus
from charlstm.errors import RunError, TrainingError
from charlstm.events import Finished, Report, SampleDue
from charlstm.optimizer import Schedule
from charlstm.sharding import make_mesh
from charlstm.training import Stepper, initial_state, train
from charlstm.vocabulary import Vocabulary


def tensors(path):
    """All tensors of a safetensors file."""
    from safetensors.numpy import load_file

    return load_file(path)


def trained(run, corpus, **options):
    """Train a run to its end; its reports and the last event."""
    happened = list(train(run, corpus, **options))
    assert isinstance(happened[-1], Finished)
    return [event for event in happened if isinstance(event, Report)], happened[-1]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_stopped_and_resumed_run_is_bit_for_bit_the_one_that_never_stopped(make_run, corpus, optimizer):
    whole, halves = make_run("whole", optimizer=optimizer), make_run("halves", optimizer=optimizer)
    trained(whole, corpus)

    asked = itertools.count()
    _, stopped = trained(halves, corpus, stop=lambda: next(asked) >= 10)
    assert stopped.reason == "stopped" and 0 < stopped.step < 20
    _, finished = trained(halves, corpus, resume=True)
    assert finished.reason == "done" and finished.step == 20

    for name in ("checkpoints/last.safetensors", "weights.safetensors"):
        one, two = tensors(whole.path / name), tensors(halves.path / name)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key], err_msg=key)
    losses = [[(r["step"], r["loss"], r["validation_loss"]) for r in run.read_metrics()] for run in (whole, halves)]
    assert losses[0] == losses[1]


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


def test_one_device_and_two_learn_the_same(make_run, corpus, monkeypatch):
    config = make_run(batch_size=8).config
    windows = Windows(corpus.ids, 8, 16)
    found = []
    for devices in (1, 2):
        mesh = make_mesh(4 * devices)
        assert mesh.size == devices
        monkeypatch.setattr(training, "make_mesh", lambda batch_size, mesh=mesh: mesh)
        stepper = Stepper(config.model, config.training, windows, initial_state(config.model, config.training))
        for step in range(4):
            stepper.dispatch(step, 1, Schedule(5e-3, 2, 20))
        found.append((stepper.collect(0)[0], stepper.state.params))
    assert math.isclose(found[0][0], found[1][0], rel_tol=1e-4)
    for a, b in zip(*(jax.tree.leaves(params) for _, params in found), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)  # Muon turns rounding of 1e-7 into a little more


def test_the_steps_are_compiled_once(make_run, corpus, monkeypatch):
    made = []
    make_steps = training.make_steps
    monkeypatch.setattr(training, "make_steps", lambda *arguments: made.append(make_steps(*arguments)) or made[-1])
    trained(make_run(), corpus)
    assert len(made) == 1 and made[0]._cache_size() == 1


def test_a_report_has_every_figure_and_the_metrics_are_the_reports(make_run, corpus):
    run = make_run()
    reports, finished = trained(run, corpus)
    lines = [json.loads(line) for line in run.metrics_path.read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [report.step for report in reports]
    assert set(lines[0]) == {
        "step", "epoch", "characters", "loss", "validation_loss", "learning_rate", "gradient_norm",
        "characters_per_second", "elapsed_seconds",
    }  # fmt: skip
    assert lines[-1]["validation_loss"] is not None
    assert finished.best and finished.best.loss == min(r["validation_loss"] for r in lines if r["validation_loss"])


def test_the_weights_kept_are_those_of_the_best_validation(make_run, corpus):
    from charlstm.evaluation import evaluate
    from charlstm.runs import load_weights

    run = make_run(learning_rate=0.3, steps=40)  # so high a rate makes it worse at times
    _, finished = trained(run, corpus)
    weights = load_weights(run.path)
    score = evaluate(weights.config.model, weights.params, corpus.split(0.1)[1], run.vocabulary)
    assert finished.best and math.isclose(score.loss, finished.best.loss, rel_tol=1e-6)


def test_patience_ends_a_run_that_no_longer_improves(make_run, corpus):
    run = make_run(learning_rate=1e-12, steps=400, patience=2)
    _, finished = trained(run, corpus)
    assert finished.reason in ("patience", "done")
    if finished.reason == "patience":
        assert finished.step < 400


def test_a_rate_beyond_all_reason_is_an_error_and_not_a_run_of_nan(make_run, corpus):
    with pytest.raises(TrainingError, match=r"became (nan|inf)") as caught:
        trained(make_run(learning_rate=1e12, clip=1e12, optimizer="adamw"), corpus)
    assert "--learning-rate" in caught.value.hint


def test_a_finished_run_and_a_run_without_checkpoint_cannot_be_resumed(make_run, corpus):
    run = make_run()
    with pytest.raises(RunError, match="no checkpoint"):
        trained(run, corpus, resume=True)
    trained(run, corpus)
    with pytest.raises(RunError, match="finished"):
        trained(run, corpus, resume=True)


def test_samples_are_offered_as_often_as_asked(make_run, corpus):
    happened = list(train(make_run(sample_every=5), corpus))
    assert [event.step for event in happened if isinstance(event, SampleDue)] == [5, 10, 15, 20]


@pytest.mark.slow
def test_a_markov_source_is_learned_down_to_its_entropy_and_not_below(make_run, numbers):
    # Three symbols; the next depends on the last. The entropy rate is known exactly.
    transitions = np.array([[0.8, 0.15, 0.05], [0.1, 0.2, 0.7], [0.45, 0.45, 0.1]])
    share = np.linalg.matrix_power(transitions, 100)[0]
    rate = -(share[:, None] * transitions * np.log(transitions)).sum()
    length = 60_000
    uniform, ids = numbers.random(length), np.zeros(length, np.uint8)
    bounds = transitions.cumsum(1)
    for t in range(1, length):
        ids[t] = min(2, np.searchsorted(bounds[ids[t - 1]], uniform[t]))
    source = Corpus(ids, Vocabulary("abc"), "markov")
    run = make_run("markov", dropout=0.0, hidden_size=16, steps=400, batch_size=16, sequence_length=32)
    object.__setattr__(run, "vocabulary", source.vocabulary)
    object.__setattr__(run.config.model, "vocabulary_size", 3)
    _, finished = trained(run, source)
    assert finished.best
    # The validation part's own average differs from the rate by its standard error; five of them are never passed.
    error = finished.best.standard_error
    assert rate - 5 * error < finished.best.loss < rate + 0.02 + 5 * error
