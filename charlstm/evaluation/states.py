"""States: what the saved weights remember at many places of a text, found by streams that read side by side.

S: streams.  T: characters from one place to the next, a window.  K: windows of a dispatch.  H: hidden size.
"""

from collections.abc import Iterator
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig
from charlstm.model.network import States, zero_states
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights
from charlstm.runtime.mesh import STREAMS, make_mesh, replicate, shard_streams

_STREAMS = 32  # S
_DISPATCH = 8  # K windows
_WARM_UP = 8  # windows that a stream reads ahead of its first place
_MAX_WINDOWS = 128  # of a stream; then all go on from where they have come to, and memory stays small


def states_every(weights: Weights, ids: np.ndarray, length: int, start: int) -> Iterator[States]:
    """The states before every `length`-th character of `ids` `[N]` from `start` on, in order, `[n, H]` at a time.

    Each n is a multiple of 256. The states are exact to the warm-up of a stream; the last ones are of no place.
    """
    weights, mesh = weights.member(0), make_mesh(_STREAMS)
    read = _make_reader(weights.model.for_inference(), mesh)
    params = replicate(mesh, weights.params)
    at_once = _STREAMS * _DISPATCH
    places = -(-(len(ids) - start) // length)
    each = min(_MAX_WINDOWS, -(-places // at_once) * _DISPATCH)
    for first in range(0, places, _STREAMS * each):
        states, found = shard_streams(mesh, zero_states(weights.model, _STREAMS)), list[States]()
        for number in range(-_WARM_UP, each, _DISPATCH):
            place = start + (first + np.arange(_STREAMS) * each + number + np.arange(_DISPATCH)[:, None]) * length
            windows = ids[np.clip(place[:, None] + np.arange(length)[:, None], 0, len(ids) - 1)]
            states, before = read(params, states, shard_streams(mesh, windows, 2), shard_streams(mesh, place > 0, 1))
            found += [jax.tree.map(np.asarray, before)] * (number >= 0)
        yield jax.tree.map(lambda *x: np.concatenate(x).swapaxes(0, 1).reshape(-1, x[0].shape[-1]), *found)


@lru_cache(maxsize=4)
def _make_reader(model: ModelConfig, mesh: Mesh):
    """Compile-ready `read(params, states [S, H], windows [K, T, S], goes_on [K, S]) -> (states, those before windows)`.

    They are zero where the text does not go on but begins.
    """
    definition, _ = abstract_model(model)

    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(STREAMS), P(None, None, STREAMS), P(None, STREAMS)),
        out_specs=(P(STREAMS), P(None, STREAMS)),
        check_vma=False,
    )
    def read(params, states, windows, goes_on):
        network = nnx.merge(definition, params)

        def window(states, at):
            ids, goes_on = at
            states = jax.tree.map(lambda x: jnp.where(goes_on[:, None], x, 0.0), states)
            return network(ids, states)[1], states

        return jax.lax.scan(window, states, (windows, goes_on))

    return read
