"""Gates, candidates and states of every layer over a text, as one reader finds them.

H: hidden size.  T: characters of a block.
"""

from collections.abc import Iterator
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Integer

from charlstm.config import ModelConfig
from charlstm.model.network import Insides, States, zero_states
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights

BLOCK = 512  # characters


def trace(weights: Weights, ids: np.ndarray, states: States | None = None) -> Iterator[Insides]:
    """What happens in each layer while `ids` `[N]` are read, in blocks: the fields of its `Inside` are `[n, H]`.

    It starts from `states`, of one stream, or from zeros; the state is carried from block to block.
    """
    read, params = _make_reader(weights.model.for_inference()), jax.device_put(weights.params)
    states = zero_states(weights.model, 1) if states is None else states
    for start in range(0, len(ids), BLOCK):
        block = ids[start : start + BLOCK]
        padded = np.zeros(BLOCK, np.int32)
        padded[: len(block)] = block
        insides = read(params, padded, states)
        # The last one counts: a block that is padded is followed by none.
        states = tuple(jax.tree.map(lambda leaf: leaf[-1:], inside).state for inside in insides)
        yield _first(insides, len(block))


def _first(insides: Insides, count: int) -> Insides:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], insides)


@lru_cache(maxsize=4)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, ids [T], states) -> insides`, the fields of which are `[T, H]`."""
    definition, _ = abstract_model(model)

    @jax.jit
    def read(params: nnx.State, ids: Integer[Array, " T"], states: States) -> Insides:
        network = nnx.merge(definition, params)

        def step(states: States, character: Array) -> tuple[States, Insides]:
            insides = network.step_inside(character[None], states, None)[1]
            return tuple(inside.state for inside in insides), insides

        return jax.tree.map(lambda leaf: leaf[:, 0], jax.lax.scan(step, states, jnp.asarray(ids))[1])

    return read
