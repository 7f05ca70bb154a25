"""Weights that learn from what is coded, alike at both ends: dynamic evaluation (Krause et al. 2018).

After each segment, which both ends know by then,

    w  <-  w - rate * g / (sqrt(ms) + epsilon)

with g the gradient of its loss. Whoever reads a file has no other text, so that ms is the mean squared gradient of the
segments so far. Weights that are drawn back to the saved ones, as evaluation/dynamic.py can have it, were worse at
every rate that was tried, and so are none here.

S: streams.  T: time steps of a segment.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.model.loss import cross_entropy
from charlstm.model.network import States
from charlstm.model.parameters import abstract_model

SEGMENT = 20  # T


class Learner:
    """Weights that go on learning; the given ones are not touched."""

    def __init__(self, model: ModelConfig, params: nnx.State, rate: float) -> None:
        self.params = params
        self._learn, self._rate = _make_learn(model), rate
        self._squares, self._segments = jax.tree.map(jnp.zeros_like, params), 0
        self._first: States | None = None
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, states: States, inputs: np.ndarray, targets: np.ndarray) -> bool:
        """Add a time step, `[S]`, and the states before it; whether that ends a segment, and the weights are new."""
        if not self._pairs:
            self._first = states
        self._pairs.append((inputs, targets))
        if len(self._pairs) < SEGMENT:
            return False
        self._segments += 1
        inputs, targets = np.stack(self._pairs, axis=1)
        self.params, self._squares = self._learn(
            self.params, self._squares, self._segments, self._first, inputs, targets, self._rate
        )
        self._pairs = []
        return True


@lru_cache(maxsize=2)
def _make_learn(model: ModelConfig):
    """Compile-ready `learn`, which reads a segment `[T, S]`, the one of that number: (new weights, new ms)."""
    definition, _ = abstract_model(model)

    def loss(params: nnx.State, states: States, inputs: Any, targets: Any):
        logits, _ = nnx.merge(definition, params)(inputs, states)
        return cross_entropy(logits, targets, model.rare).mean()

    @jax.jit
    def learn(params, squares, number, states, inputs, targets, rate):
        gradient = jax.grad(loss)(params, states, inputs, targets)
        squares = jax.tree.map(lambda ms, g: ms + (g * g - ms) / number, squares, gradient)
        roots = jax.tree.map(jnp.sqrt, squares)
        leaves = jax.tree.leaves(roots)
        epsilon = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)
        step = jax.tree.map(lambda g, root: rate * g / (root + epsilon), gradient, roots)
        return jax.tree.map(jnp.subtract, params, step), squares

    return learn
