"""What a model expects at every place of a text: the surprise of each symbol, and what would have been likeliest.

T: characters of a block.  K: likeliest symbols.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from charlstm.config import ModelConfig
from charlstm.model.loss import cross_entropy
from charlstm.model.members import merge
from charlstm.model.parameters import abstract_model
from charlstm.model.pool import beside, zero_reading
from charlstm.runs.weights import Weights

_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Predictions:
    """At each place of `ids` `[N]`: its `nats`, NaN at the first one, which nothing predicts; and before it was read
    the `likeliest` ids with their `probabilities`, `[N, K]` each, the most probable first."""

    nats: np.ndarray
    likeliest: np.ndarray
    probabilities: np.ndarray


def predict(weights: Weights, ids: np.ndarray, top: int = 5) -> Predictions:
    """The predictions of one reader of `ids` `[N]`, who begins with them."""
    model = weights.model.for_inference()
    top = min(top, model.rows)
    read, states = _make_reader(model, top), zero_reading(model, weights.counts, 1)
    network = jax.device_put((weights.params, weights.counts))
    shape = len(ids), top
    found = Predictions(np.full(len(ids), math.nan), np.zeros(shape, np.int64), np.zeros(shape))
    for start in range(0, len(ids) - 1, _BLOCK):
        pairs = np.stack([ids[start : start + _BLOCK][: len(ids) - 1 - start], ids[start + 1 :][:_BLOCK]]).astype(
            np.int32
        )
        count = pairs.shape[1]
        states, *parts = read(*network, states, *np.pad(pairs, ((0, 0), (0, _BLOCK - count))))
        for array, part in zip((found.nats, found.likeliest, found.probabilities), parts, strict=True):
            array[start + 1 : start + 1 + count] = np.asarray(part)[:count]
    return found


@lru_cache(maxsize=4)
def _make_reader(model: ModelConfig, top: int):
    """Compile-ready `read(params, counts, states, inputs [T], targets [T]) -> (states, nats [T], ids and
    probabilities [T, K])`."""
    definition, _ = abstract_model(model)

    @jax.jit
    def read(params, counts, states, inputs, targets):
        network = beside(merge(definition, params), counts)
        logits, states = network(inputs[:, None], states)
        nats = cross_entropy(logits, targets[:, None], model.rare)[:, 0]
        logs = jax.nn.log_softmax(logits[:, 0])
        if model.rare:  # each of them is as likely as any other: the first stands for all
            logs = logs.at[:, -1].add(-math.log(model.rare))
        best, likeliest = jax.lax.top_k(logs, top)
        return states, nats, likeliest, jnp.exp(best)

    return read
