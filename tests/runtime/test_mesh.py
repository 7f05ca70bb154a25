"""The mesh: how many devices share the streams, and where arrays live on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from charlstm.runtime.mesh import STREAMS, make_mesh, own_streams, pmean_tree, replicate, shard_streams, sharing


@given(st.integers(1, 500))
def test_devices_share_the_streams_evenly_and_none_works_for_fewer_than_four(streams):
    devices = make_mesh(streams).size
    assert streams % devices == 0 and devices in (1, 2)
    assert devices == 1 or streams // devices >= 4
    assert devices == 2 or streams % 2 or streams < 8


@given(st.integers(1, 500), st.integers(1, 64))
def test_as_many_as_can_share_the_streams_do(streams, devices):
    shared = [n for n in range(1, devices + 1) if streams % n == 0 and (n == 1 or streams // n >= 4)]
    assert sharing(streams, devices) == max(shared)


@pytest.mark.parametrize("streams", [1, 7, 8, 64])
def test_all_devices_together_read_every_stream_once_and_in_order(streams):
    mesh = make_mesh(streams)

    @jax.jit
    def read(ids):
        spread = jax.shard_map(
            lambda ids: own_streams(len(ids)), mesh=mesh, in_specs=P(STREAMS), out_specs=P(STREAMS), check_vma=False
        )
        return spread(ids)

    np.testing.assert_array_equal(read(np.zeros(streams)), np.arange(streams))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_spread_out_arrays_keep_their_values_and_every_device_holds_its_streams(numbers, axis):
    array = numbers.normal(size=(8, 8, 8)).astype(np.float32)
    spread = shard_streams(make_mesh(8), {"a": array}, axis)["a"]
    np.testing.assert_array_equal(spread, array)
    for device, shard in enumerate(spread.addressable_shards):
        np.testing.assert_array_equal(shard.data, array.take(range(4 * device, 4 * device + 4), axis))


def test_what_is_everywhere_is_whole_on_every_device(numbers):
    array = numbers.normal(size=(3, 5)).astype(np.float32)
    shards = replicate(make_mesh(8), [array])[0].addressable_shards
    assert len(shards) == 2
    for shard in shards:
        np.testing.assert_array_equal(shard.data, array)


def test_the_mean_over_devices_keeps_every_array_in_its_place_whatever_its_size(numbers):
    shapes = {"large": (512, 512), "a number": (), "small": [(3, 5), (7,)], "large too": (600, 700)}
    ones = jax.tree.map(jnp.ones, shapes, is_leaf=lambda shape: isinstance(shape, tuple))
    arrays = jax.tree.map(lambda one: jnp.float32(numbers.normal(size=(2, *one.shape))), ones)
    mean = jax.shard_map(
        lambda tree: pmean_tree(jax.tree.map(lambda part: part[0], tree)),
        mesh=make_mesh(8),
        in_specs=P(STREAMS),
        out_specs=P(),
        check_vma=False,
    )
    jax.tree.map(
        lambda found, parts: np.testing.assert_allclose(found, parts.mean(0), rtol=1e-6), jax.jit(mean)(arrays), arrays
    )
