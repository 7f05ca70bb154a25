"""The schedule as a function of the step, and the chain against Optax's own AdamW."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import training_config
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig
from charlstm.model.parameters import initial_parameters, to_tensors
from charlstm.runtime.mesh import make_mesh
from charlstm.training.muon import scale_by_muon
from charlstm.training.optimizer import Schedule, make_optimizer

TRAINING = training_config(optimizer="adamw", clip=0.5, warmup=3, steps=100)


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
        assert all(0 <= schedule.rate(at) <= 1 for at in range(step + more + 5))


def test_without_an_end_in_sight_the_rate_stays():
    assert Schedule(0.5, 10).rate(10_000) == 0.5


def test_rates_of_a_dispatch_are_those_of_its_steps():
    schedule = Schedule(1.0, 5, 50)
    np.testing.assert_allclose(
        schedule.rates(3, 4, 6), [*(schedule.rate(step) for step in range(3, 7)), 0, 0], rtol=1e-6
    )


def updates(chain: optax.GradientTransformation, params: nnx.State, count: int = 3) -> list[dict[str, jax.Array]]:
    """What a chain makes of a few random gradients, by name; sharded, as Muon wants it."""
    sharded = jax.jit(jax.shard_map(chain.update, mesh=make_mesh(1), in_specs=P(), out_specs=P(), check_vma=False))
    state, found = chain.init(params), []
    for seed in range(count):
        gradient = jax.tree.map(lambda x, seed=seed: jax.random.normal(jax.random.key(seed), x.shape), params)
        update, state = sharded(gradient, state, params)
        found.append(to_tensors(update))
    return found


def is_kernel_of_gates(name: str) -> bool:
    return name.endswith(("input_kernel", "recurrent_kernel"))


@pytest.fixture(scope="module")
def params() -> nnx.State:
    return initial_parameters(ModelConfig(vocabulary_size=5, layers=1, hidden_size=4, embedding_size=3, dropout=0.0), 0)


def test_the_adamw_chain_is_that_of_optax(params):
    theirs = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(1.0, 0.9, 0.99, 1e-8, weight_decay=0.1, mask=lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    )
    for found, expected in zip(updates(make_optimizer(TRAINING), params), updates(theirs, params), strict=True):
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_muon_moves_the_kernels_of_the_gates_and_nothing_else(params):
    muon = replace(TRAINING, optimizer="muon")
    of_gates = jax.tree_util.tree_map_with_path(lambda path, _: "layers" in str(path) and "kernel" in str(path), params)
    alone = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.masked(scale_by_muon(0.95), of_gates),
        optax.add_decayed_weights(0.1),
        optax.scale(-1.0),
    )
    chains = (make_optimizer(muon), alone, make_optimizer(TRAINING))
    for found, by_muon, by_adamw in zip(*(updates(chain, params) for chain in chains), strict=True):
        assert sum(map(is_kernel_of_gates, found)) == 2
        for name, update in found.items():
            expected = by_muon if is_kernel_of_gates(name) else by_adamw
            np.testing.assert_allclose(update, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_large_gradient_is_clipped_to_its_direction_and_a_small_one_is_left_alone(params):
    # Adam forgets a constant scale, so the clip shows where one gradient in a row is larger than the others.
    chain = make_optimizer(replace(TRAINING, clip=2.0, weight_decay=0.0))
    ones = jax.tree.map(jnp.ones_like, params)
    norm, update = float(optax.tree.norm(ones)), jax.jit(chain.update)

    def second_update(size):
        _, state = update(jax.tree.map(lambda x: x / norm, ones), chain.init(params), params)
        return update(jax.tree.map(lambda x: x * size / norm, ones), state, params)[0]["head_bias"]

    np.testing.assert_allclose(second_update(2.0), second_update(2000.0), rtol=1e-5)
    assert not np.allclose(second_update(2.0), second_update(1.0), rtol=1e-3)


def test_biases_do_not_decay(params):
    params = jax.tree.map(jnp.ones_like, params)
    chain = make_optimizer(TRAINING)
    update, _ = jax.jit(chain.update)(jax.tree.map(jnp.zeros_like, params), chain.init(params), params)
    for leaf in jax.tree.leaves(update):
        np.testing.assert_allclose(leaf, -0.1 if leaf.ndim > 1 else 0.0, atol=1e-7)


@given(st.integers(1, 50), st.integers(1, 400), st.integers(1, 400), st.floats(0, 1.2))
def test_a_schedule_that_is_prolonged_never_jumps_up_and_comes_down_to_zero(warmup, total, more, share):
    before = Schedule(1.0, warmup).replan(0, total)
    step = min(total, int(share * total))
    after = before.prolong(step, 1.0).replan(step, step + more)
    if before.progress_at(step) < 1:
        assert after.rate(step) == pytest.approx(before.rate(step), abs=1e-9)
    else:
        assert after.rate(step) == pytest.approx(min(1, 1 / warmup))
    assert after.progress_at(step + more) == 1 and after.rate(step + more - 1) <= 1.0
