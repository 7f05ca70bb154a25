"""Muon: what orthogonalisation does to a matrix, and that devices share the work without changing the result."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax.contrib
import pytest
from conftest import compiled_for
from jax.sharding import PartitionSpec as P

from charlstm.runtime.mesh import make_mesh
from charlstm.training.muon import ROUNDS, orthogonal, scale_by_muon

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import muon_rounds


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5), (1, 6)])
def test_orthogonal_keeps_directions_and_evens_out_their_strengths(numbers, shape):
    matrix = np.float32(numbers.normal(size=shape))
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    strengths = u.T @ np.asarray(orthogonal(jnp.array(matrix))) @ vt.T
    np.testing.assert_allclose(strengths - np.diag(np.diag(strengths)), 0, atol=1e-2)
    assert (np.diag(strengths) > 0.5).all() and (np.diag(strengths) < 1.3).all()


def test_strengths_from_a_hundredth_on_come_close_to_one(numbers):
    u, v = (np.linalg.qr(numbers.normal(size=(30, 30)))[0] for _ in range(2))
    strengths = np.geomspace(0.01, 0.5, 30) / np.linalg.norm(np.geomspace(0.01, 0.5, 30))
    found = np.diag(u.T @ np.asarray(orthogonal(jnp.float32(u * strengths @ v.T))) @ v)
    assert (np.abs(found[strengths >= 0.01] - 1) < 0.28).all() and (found[strengths < 0.01] > 0.5).all()


def test_a_zero_gradient_moves_nothing():
    assert not np.asarray(orthogonal(jnp.zeros((4, 4)))).any()


@pytest.mark.parametrize("layers", [1, 3])
def test_two_devices_update_as_one_does(numbers, layers):
    rule = scale_by_muon()
    kernels = [jnp.float32(numbers.normal(size=(6, 24))) for _ in range(layers)] + [
        jnp.float32(numbers.normal(size=(3, 24)))
    ]

    def update(mesh):
        sharded = jax.shard_map(
            lambda g: rule.update(g, rule.init(g))[0], mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False
        )
        return jax.jit(sharded)(kernels)

    one, two = update(make_mesh(1)), update(make_mesh(8))
    with compiled_for("gpu"):  # all matrices at once
        batched = update(make_mesh(8))
    assert make_mesh(8).size == 2
    for other in (two, batched):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("inputs", "length"), [(32, 2.25), (64, 2.25), (8, 4.5)])
def test_updates_are_equally_long_in_every_direction_and_longer_where_inputs_are_few(numbers, inputs, length):
    rule = scale_by_muon()
    kernel = jnp.float32(numbers.normal(size=(inputs, 128)))
    update = jax.shard_map(
        lambda g: rule.update(g, rule.init(g))[0], mesh=make_mesh(1), in_specs=P(), out_specs=P(), check_vma=False
    )
    for gate in np.split(np.asarray(jax.jit(update)(kernel)), 4, axis=1):
        strengths = np.linalg.svd(gate, compute_uv=False) / length
        assert np.median(strengths) > 0.72 and strengths.max() < 1.28


def test_a_first_step_is_that_of_optax_for_each_gate(numbers):
    # Optax's Muon with the same rounds; it knows nothing of gates, devices, and lengths that suit AdamW's rate.
    kernel = jnp.float32(numbers.normal(size=(12, 4 * 16)))
    rule = scale_by_muon(0.95)
    ours = jax.jit(
        jax.shard_map(
            lambda g: rule.update(g, rule.init(g))[0], mesh=make_mesh(1), in_specs=P(), out_specs=P(), check_vma=False
        )
    )(kernel)
    whole = optax.contrib.MuonDimensionNumbers()
    theirs = optax.contrib.scale_by_muon(
        ns_coeffs=ROUNDS, ns_steps=len(ROUNDS), beta=0.95, eps=1e-7, weight_dimension_numbers=[whole] * 4
    )
    gates = jnp.split(kernel, 4, axis=1)
    expected, _ = theirs.update(gates, theirs.init(gates))
    np.testing.assert_allclose(ours, np.concatenate(expected, axis=1) * 2.25 * (16 / 12) ** 0.5, rtol=2e-3, atol=2e-4)


def test_the_constants_are_those_that_the_script_finds():
    low, high = 0.01, 1.0
    for constants in ROUNDS:
        found, t = muon_rounds.best_round(low, high)
        np.testing.assert_allclose(found, constants, atol=2e-3)
        low, high = 1 - t, 1 + t
    assert low == pytest.approx(0.73, abs=0.002)
