"""The outer step against Optax's, and what came of steps that several processes have made."""

import jax.numpy as jnp
import numpy as np
import optax

from charlstm.training.averaging import outer_step
from charlstm.training.collected import Collected

RATE, DECAY = 0.7, 0.9


def test_outer_steps_are_those_of_sgd_with_nesterov_momentum():
    numbers = np.random.default_rng(0)
    anchor = numbers.normal(size=50).astype(np.float32)
    params, momentum = jnp.asarray(anchor), np.zeros_like(anchor)
    optimizer = optax.sgd(RATE, DECAY, nesterov=True)
    state = optimizer.init(params)
    for _ in range(5):
        moves = numbers.normal(size=(3, 50)).astype(np.float32)
        updates, state = optimizer.update(jnp.asarray(moves.mean(0)), state, params)
        params = optax.apply_updates(params, updates)
        anchor, momentum = outer_step(anchor, momentum, iter(moves), RATE, DECAY)
        np.testing.assert_allclose(anchor, np.asarray(params), rtol=1e-5, atol=1e-6)


def test_without_momentum_and_at_rate_1_it_is_the_mean_of_all_parameters():
    numbers = np.random.default_rng(1)
    anchor, *params = numbers.normal(size=(4, 50)).astype(np.float32)
    found, _ = outer_step(anchor, np.zeros_like(anchor), [anchor - each for each in params], 1.0, 0.0)
    np.testing.assert_allclose(found, np.mean(params, 0), atol=1e-6)


def test_what_is_not_finite_does_not_count():
    anchor, momentum, sound = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    broken = np.array([[np.nan, 1], [np.inf, 1]], np.float32)
    for one, other in zip(
        outer_step(anchor, momentum, [broken[0], sound, broken[1]]), outer_step(anchor, momentum, [sound]), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    same = outer_step(anchor, momentum, broken)
    assert same[0] is anchor and same[1] is momentum


def test_collected_steps_add_up_one_after_the_other_and_side_by_side():
    first, second, skipped = Collected(6.0, 2, 0.5, 1, 0), Collected(2.0, 1, 1.5, 0, 1), Collected(0.0, 0, 0.0, 0, 3)
    assert first.then(second) == Collected(8.0, 3, 1.5, 1, 1)
    assert first.then(skipped) == Collected(6.0, 2, 0.5, 1, 3)  # the norm is that of the last one that counted
    assert first.beside([second, skipped]) == Collected(8.0, 3, 1.0, 1, 4)
