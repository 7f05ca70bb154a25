"""Dynamic evaluation: a reader that goes on learning from what it has just been scored on.

Krause, Kahembwe, Murray & Renals (2018): after each segment of the text is scored,

    w  <-  w - rate * g / (sqrt(ms) + epsilon) + decay * (w_0 - w)

with g the gradient of the segment's loss, ms the mean squared gradient over training segments, and w_0 the saved
weights, which are never touched. No character is scored with weights that have seen it.

T: characters of a segment.  K: segments in one dispatch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.evaluation.predictions import Predictions
from charlstm.evaluation.static import OnScored
from charlstm.evaluation.tally import Tally
from charlstm.model.loss import cross_entropy, entropy
from charlstm.model.network import zero_states
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights
from charlstm.score import Score
from charlstm.text.batches import masked_pairs

SEGMENT = 20  # T
_DISPATCH = 32  # K
_TRIAL = 20_000  # characters at the end of the training part that the rule is tuned on
_STATISTICS = 40_000  # characters before them that give the mean squared gradient
_RATES = (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)
_DECAYS = (0.0, 0.002, 0.01, 0.03)


@dataclass(frozen=True)
class Rule:
    """How fast the weights move, and how strongly they are pulled back."""

    rate: float
    decay: float


@dataclass(frozen=True, eq=False)
class Adapter:
    """Saved weights, and for each of them 1 / (sqrt(ms) + epsilon): what its gradient is multiplied with."""

    saved: Weights
    scale: nnx.State

    @classmethod
    def measured(cls, weights: Weights, training_ids: np.ndarray) -> "Adapter":
        """With the mean squared gradient over segments of the training part, ahead of those that `tune` reads."""
        ids = training_ids[:-_TRIAL] if len(training_ids) > 2 * _TRIAL else training_ids
        params = weights.params
        measure, _ = _make_programs(weights.model.for_inference())
        states, squares, segments = zero_states(weights.model, 1), jax.tree.map(jnp.zeros_like, params), 0
        for inputs, targets, mask in _segments(ids[-_STATISTICS:]):
            states, squares = measure(params, states, squares, inputs, targets, mask)
            segments += int(mask.any(1).sum())
        roots = jax.tree.map(lambda square: jnp.sqrt(square / segments), squares)
        leaves = jax.tree.leaves(roots)
        # A weight that hardly ever moved (of a character seldom met) must not jump at its first gradient.
        epsilon = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)
        return cls(weights, jax.tree.map(lambda root: 1 / (root + epsilon), roots))

    def score_text(self, ids: np.ndarray, rule: Rule, on_scored: OnScored = lambda characters: None) -> Score:
        """Score every character of `ids` `[N]` but the first, learning from each segment."""
        tally = Tally()
        for nats, _ in self._read(ids, rule):
            first = tally.characters + 1  # the very first character is not scored
            utf8_bytes = int(self.saved.vocabulary.byte_lengths[ids[first : first + len(nats)]].sum())
            starts = np.arange(0, len(nats), SEGMENT)
            tally.add(np.add.reduceat(nats, starts), np.diff(starts, append=len(nats)), utf8_bytes)
            on_scored(tally.characters)
        return tally.score()

    def predict(self, ids: np.ndarray, rule: Rule, on_scored: OnScored = lambda characters: None) -> Predictions:
        """The same, character by character."""
        parts = [Predictions(np.zeros(0, np.float32), np.zeros(0, np.float32))]
        for part in self._read(ids, rule):
            parts.append(part)
            on_scored(sum(len(nats) for nats, _ in parts))
        return Predictions(*map(np.concatenate, zip(*parts, strict=True)))

    def _read(self, ids: np.ndarray, rule: Rule) -> Iterator[Predictions]:
        """What every character of `ids` `[N]` but the first costs, in order, for one stream that learns on."""
        model, saved = self.saved.model, self.saved.params
        _, adapt = _make_programs(model.for_inference())
        params, states = saved, zero_states(model, 1)
        for inputs, targets, mask in _segments(ids):
            params, states, found = adapt(
                saved, self.scale, params, states, inputs, targets, mask, rule.rate, rule.decay
            )
            yield Predictions(*(np.asarray(each)[mask > 0] for each in found))

    def tune(
        self, training_ids: np.ndarray, rates: Sequence[float] = _RATES, decays: Sequence[float] = _DECAYS
    ) -> Rule:
        """The rule that reads the end of the training part best: first the rate is chosen, then the decay."""
        ids = training_ids[-_TRIAL:]

        def loss(rule: Rule) -> float:
            return self.score_text(ids, rule).loss

        rate = min(rates, key=lambda rate: loss(Rule(rate, 0.0)))
        return min((Rule(rate, decay) for decay in decays), key=loss)


def _segments(ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Inputs, targets and mask of `ids`, in order, `[K, T]` each."""
    pairs, at_once = len(ids) - 1, _DISPATCH * SEGMENT
    for first in range(0, pairs, at_once):
        positions = first + np.arange(at_once).reshape(_DISPATCH, SEGMENT)
        yield masked_pairs(ids, positions, np.ones_like(positions, bool))


@lru_cache(maxsize=2)
def _make_programs(model: ModelConfig):
    """Compile-ready `measure`, which adds up squared gradients, and `adapt`, which learns; both read `[K, T]`."""
    definition, _ = abstract_model(model)

    @partial(jax.grad, has_aux=True)
    def gradient(params, states, inputs, targets, mask):
        logits, states = nnx.merge(definition, params)(inputs[:, None], states)
        nats = cross_entropy(logits, targets[:, None], model.rare)[:, 0]
        return (nats * mask).sum() / SEGMENT, (states, Predictions(nats, entropy(logits, model.rare)[:, 0]))

    @jax.jit
    def measure(params, states, squares, inputs, targets, mask):
        def segment(carry, at):
            states, squares = carry
            g, (states, _) = gradient(params, states, *at)
            return (states, jax.tree.map(lambda square, g: square + g * g, squares, g)), None

        return jax.lax.scan(segment, (states, squares), (inputs, targets, mask))[0]

    @jax.jit
    def adapt(saved, scale, params, states, inputs, targets, mask, rate, decay):
        def segment(carry, at):
            params, states = carry
            g, (states, found) = gradient(params, states, *at)
            params = jax.tree.map(lambda w, g, s, w_0: w - rate * g * s + decay * (w_0 - w), params, g, scale, saved)
            return (params, states), found

        (params, states), found = jax.lax.scan(segment, (params, states), (inputs, targets, mask))
        return params, states, found

    return measure, adapt
