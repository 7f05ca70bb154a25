"""The schedule as a function of the step, and the chain against Optax's own AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.model import initial_parameters
from charlstm.optimizer import Schedule, make_optimizer

TRAINING = TrainingConfig(4, 16, "adamw", 1e-3, 0.1, 0.5, 3, 100, None, 0.1, None, "float32", 0, 0)


@given(st.integers(1, 50), st.integers(60, 500))
def test_the_rate_rises_then_falls_to_zero(warmup, total):
    schedule = Schedule(1.0, warmup, total)
    rates = [schedule.rate(step) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates) and schedule.rate(total) == 0
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[0] == pytest.approx(1 / warmup)


@given(st.lists(st.tuples(st.integers(1, 80), st.integers(20, 400)), min_size=1, max_size=5))
def test_replanning_bends_the_fall_without_a_jump(plans):
    schedule, step = Schedule(1.0, 1, 100), 0
    for ahead, more in plans:
        step = min(step + ahead, schedule.total - 1)
        before = schedule
        schedule = schedule.replan(step, step + more)
        assert schedule.rate(step) == pytest.approx(before.rate(step))
        assert schedule.rate(step + more) == pytest.approx(0)


def test_without_an_end_in_sight_the_rate_stays():
    assert Schedule(0.5, 10).rate(10_000) == 0.5


def test_rates_of_a_dispatch_are_those_of_its_steps():
    schedule = Schedule(1.0, 5, 50)
    np.testing.assert_allclose(
        schedule.rates(3, 4, 6), [*(schedule.rate(step) for step in range(3, 7)), 0, 0], rtol=1e-6
    )


def test_the_adamw_chain_is_that_of_optax():
    params = initial_parameters(ModelConfig(5, 1, 4, 3, 0.0), 0)
    ours = make_optimizer(TRAINING)
    theirs = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(1.0, 0.9, 0.99, 1e-8, weight_decay=0.1, mask=lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    )
    state, their_state = ours.init(params), theirs.init(params)
    for seed in range(3):
        gradient = jax.tree.map(lambda x, seed=seed: jax.random.normal(jax.random.key(seed), x.shape), params)
        update, state = ours.update(gradient, state, params)
        expected, their_state = theirs.update(gradient, their_state, params)
        for a, b in zip(jax.tree.leaves(update), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_biases_do_not_decay():
    params = jax.tree.map(jnp.ones_like, initial_parameters(ModelConfig(5, 1, 4, 3, 0.0), 0))
    chain = make_optimizer(TRAINING)
    update, _ = chain.update(jax.tree.map(jnp.zeros_like, params), chain.init(params), params)
    for leaf in jax.tree.leaves(update):
        np.testing.assert_allclose(leaf, -0.1 if leaf.ndim > 1 else 0.0, atol=1e-7)
