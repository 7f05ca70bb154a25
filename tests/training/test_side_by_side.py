"""Members that are trained side by side: each is what a run of its seed alone would be."""

import jax
import numpy as np
import pytest
from test_loop import assert_same_files, tensors, trained

from charlstm.runs.folder import open_run
from charlstm.runs.weights import load_weights
from charlstm.text.batches import Windows
from charlstm.training.optimizer import Schedule
from charlstm.training.steps import Stepper, initial_state


@pytest.mark.parametrize(
    "members",
    [pytest.param(2, id="a device each"), pytest.param(3, id="devices share each", marks=pytest.mark.slow)],
)
def test_a_member_is_the_run_of_its_seed_to_rounding(members, make_run, corpus):
    run = make_run("all", batch_size=8, members=members, validation=0.0)
    reports, _ = trained(run, corpus)
    losses = []
    for k in range(members):
        alone = make_run(f"alone-{k}", batch_size=8, seed=k, validation=0.0)
        losses.append([report.loss for report in trained(alone, corpus)[0]])
        for name, tensor in tensors(alone.path / "weights.safetensors").items():
            found = tensors(run.path / "weights.safetensors")[f"members.{k}.{name}"]
            np.testing.assert_allclose(found, tensor, atol=2e-4, err_msg=name)
    np.testing.assert_allclose([report.loss for report in reports], np.mean(losses, axis=0), atol=1e-4)
    assert np.ptp([each[-1] for each in losses]) > 1e-3  # or they would all be one


def test_members_are_stopped_and_resumed_bit_for_bit(make_run, corpus):
    whole, halves = (make_run(name, members=2, batch_size=8) for name in ("whole", "halves"))
    _, ended = trained(whole, corpus)
    asked = iter(range(100))
    _, stopped = trained(halves, corpus, should_stop=lambda: next(asked) >= 4)
    assert stopped.reason == "stopped" and 0 < stopped.step < 20 and not stopped.members
    _, finished = trained(open_run(halves.path), corpus, resume=True)
    assert_same_files(whole, halves)
    assert [score.nats for score in finished.members] == [score.nats for score in ended.members]


def test_a_run_tells_what_averaging_gained(make_run, corpus):
    run = make_run(members=3)
    _, finished = trained(run, corpus)
    losses = [score.loss for score in finished.members]
    assert finished.best and len(losses) == 3 and finished.best.loss <= np.mean(losses)  # Jensen
    assert {score.characters for score in finished.members} == {finished.best.characters}
    assert not trained(make_run("one"), corpus)[1].members
    assert load_weights(run.path).model.members == 3


def test_a_member_that_fails_changes_nothing_about_the_others(make_run, corpus):
    config = make_run(members=2, batch_size=8).config  # the program of the tests above

    def one_step(poison: float):
        state = initial_state(config.model, config.training)
        state = state._replace(params=jax.tree.map(lambda leaf: leaf.at[1].add(poison), state.params))
        stepper = Stepper(config.model, config.training, Windows(corpus.ids, 8, 16), state)
        stepper.dispatch(0, 1, Schedule(5e-3, 2, 20))
        return stepper.collect(0), jax.device_get(stepper.state.params)

    (sound, params), (hurt, beside) = one_step(0.0), one_step(np.nan)
    assert (sound.steps, sound.skipped) == (2, 0) and (hurt.steps, hurt.skipped) == (1, 1)
    assert np.isfinite(hurt.loss)
    for one, other in zip(*map(jax.tree.leaves, (params, beside)), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
