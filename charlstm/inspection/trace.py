"""Gates, candidates and states of every layer over a text, as one reader finds them, or several at once.

H: hidden size.  T: characters of a block.  B: streams, texts that are read side by side.
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
from charlstm.model.cells import Inside
from charlstm.model.lstm import LSTMInside
from charlstm.model.network import Insides, States, zero_states
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights

BLOCK = 512  # characters, those of all streams together


def trace(weights: Weights, ids: np.ndarray, states: States | None = None) -> Iterator[Insides]:
    """What happens in each layer while `ids` `[N]` are read, in blocks: the fields of its `Inside` are `[n, H]`.

    It starts from `states`, of one stream, or from zeros; the state is carried from block to block.
    """
    for insides in trace_streams(weights, np.asarray(ids)[:, None], states):
        yield jax.tree.map(lambda leaf: leaf[:, 0], insides)


def trace_streams(weights: Weights, ids: np.ndarray, states: States | None = None) -> Iterator[Insides]:
    """The same of the streams `[N, B]`, in blocks whose fields are `[n, B, H]`: their memory grows with neither."""
    weights, streams = weights.member(0), ids.shape[1]
    length = max(1, BLOCK // streams)
    read, params = _make_reader(weights.model.for_inference()), jax.device_put(weights.params)
    states = zero_states(weights.model, streams) if states is None else states
    for start in range(0, len(ids), length):
        block = ids[start : start + length]
        padded = np.zeros((length, streams), np.int32)
        padded[: len(block)] = block
        insides = read(params, padded, states)
        # The last one counts: a block that is padded is followed by none.
        states = tuple(jax.tree.map(lambda leaf: leaf[-1], inside).state for inside in insides)
        yield _first(insides, len(block))


def memory(inside: Inside) -> np.ndarray:
    """What a layer holds: its cell state or, in a cell without one, its hidden state."""
    return np.asarray(inside.cell if isinstance(inside, LSTMInside) else inside.hidden)


def _first(insides: Insides, count: int) -> Insides:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], insides)


@lru_cache(maxsize=4)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, ids [T, B], states) -> insides`, the fields of which are `[T, B, H]`."""
    definition, _ = abstract_model(model)

    @jax.jit
    def read(params: nnx.State, ids: Integer[Array, "T B"], states: States) -> Insides:
        network = nnx.merge(definition, params)

        def step(states: States, characters: Array) -> tuple[States, Insides]:
            insides = network.step_inside(characters, states, None)[1]
            return tuple(inside.state for inside in insides), insides

        return jax.lax.scan(step, states, jnp.asarray(ids))[1]

    return read
