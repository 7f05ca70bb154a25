"""Muon: what orthogonalisation does to a matrix, and that devices share the work without changing the result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from charlstm.training.muon import orthogonal, scale_by_muon
from charlstm.runtime.mesh import make_mesh


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
    assert make_mesh(8).size == 2
    for a, b in zip(one, two, strict=True):
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
