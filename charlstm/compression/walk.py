"""The probabilities of each symbol of a text, found alike, bit for bit, by both ends.

Whoever writes a file and whoever reads it walk through the text by this very loop: the same compiled programs, with the
same shapes, one time step after the other. The fast scan over windows of training and evaluation rounds otherwise, and
so does another processor or another version of JAX: a difference in the last bit of one probability is enough to
make nonsense of all that follows. On one machine and build both ends agree; weights that learn need as many cores, too.

A text is cut into S streams that are walked through at once, each from the state in which a text begins: stream j is
the symbols from j T on, and the last streams may be shorter.

N: symbols of the text.  S: streams.  T: time steps, N / S rounded up.  V: vocabulary.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from charlstm.compression.learner import Learner
from charlstm.config import ModelConfig
from charlstm.model.network import States, zero_states
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights
from charlstm.sampling.prompt import make_table

# Has some streams coded, the first ones, by their probabilities [n, V] at a time step; returns their ids, int32 [n].
Exchange = Callable[[int, np.ndarray], np.ndarray]


def walk(weights: Weights, count: int, streams: int, rate: float, exchange: Exchange) -> Iterator[int]:
    """Have `exchange` code all `count` symbols, a time step after the other; yields how many are done.

    With a `rate` above 0 the weights learn from what is done. Of several members it is the first one that predicts.
    """
    weights = weights.member(0)
    model = weights.model.for_inference()
    step, table_of = _make_step(model), make_table(model)
    params, states = jax.device_put(weights.params), zero_states(model, streams)
    learner = Learner(model, params, rate) if rate else None
    # As leaves, for to take Flax's tree of them apart takes as long as a time step.
    leaves, table, done = jax.tree.leaves(params), table_of(params), 0
    inputs = np.full(streams, weights.vocabulary.encode_prompt("")[0], np.int32)
    length = -(-count // streams)
    for time in range(length):
        before = states
        states, probabilities = step(leaves, table, states, inputs)
        present = -(-(count - time) // length)  # streams that are not at their ends
        targets = np.zeros(streams, np.int32)
        targets[:present] = exchange(time, np.asarray(probabilities)[:present])
        if learner and present == streams and learner.add(before, inputs, targets):
            leaves, table = jax.tree.leaves(learner.params), table_of(learner.params)
        inputs = targets
        done += present
        yield done


@lru_cache(maxsize=4)
def _make_step(model: ModelConfig):
    """Compile-ready `step(leaves, table, states, ids [S]) -> (states, probabilities [S, V])`."""
    definition, shapes = abstract_model(model)
    tree = jax.tree.structure(shapes)

    @jax.jit
    def step(leaves: list[Array], table: Array | None, states: States, ids: Array):
        network = nnx.merge(definition, jax.tree.unflatten(tree, leaves))
        logits, states = network.step(ids, states, table)
        probabilities = jax.nn.softmax(logits)
        if logits.shape[1] == 1:  # a distribution has two symbols at least, even if one of them never comes
            probabilities = jnp.pad(probabilities, ((0, 0), (0, 1)))
        # Weights that have learned too fast predict nothing, and the text can be coded all the same.
        is_sound = jnp.isfinite(probabilities).all(1, keepdims=True)
        return states, jnp.where(is_sound, probabilities, 1 / probabilities.shape[1])

    return step
