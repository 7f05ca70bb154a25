"""Dynamic evaluation: a reader that goes on learning from what it has just been scored on.

Krause, Kahembwe, Murray & Renals (2018), with each weight drawn back as in their program: after each segment of the
text is scored,

    w  <-  w - rate * g / (RMS + epsilon) + min(1, decay * RMS / mean(RMS)) * (w_0 - w)

with g the gradient of the segment's nats for every 20 characters, RMS the root of its mean square over 20 characters of
the training text, mean(RMS) that of all weights, and w_0 the saved weights, which are never touched.

To read one character after the other is slow, as each needs all weights. So a segment is S pieces of the text that
follow each other and are read side by side, each from the state in which the saved weights come there. S grows from 1
with what has been read. The head alone, which costs little, learns after each piece, and 4 times as fast. With `exact`,
and where that is clearly better (`tuned`), S stays 1, and the reader's own state is carried. Either way a prediction
depends on nothing but the characters before it: the weights on those before its segment, the head on those before its
piece.

T: characters of a piece.  S: pieces of a segment.  K: segments in one dispatch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.evaluation.predictions import Predictions
from charlstm.evaluation.states import states_every
from charlstm.evaluation.static import OnScored
from charlstm.evaluation.tally import Tally
from charlstm.model.loss import cross_entropy, entropy
from charlstm.model.network import States, zero_states
from charlstm.model.parameters import abstract_model, map_named, to_tensors
from charlstm.runs.weights import Weights
from charlstm.score import Score
from charlstm.text.batches import Windows, masked_pairs

PIECE = 32  # T
_ALONE, _FAR = 2048, 8192  # characters that are read piece by piece; the next ones by few pieces at a time
_FEW, _MANY = 4, 16  # S
_DISPATCH = 2048  # K S T characters
_UNIT = 20  # characters whose gradient has the size of 1 RMS
_EPSILON = 0.1  # of mean(RMS): a weight that hardly ever moved must not jump at its first gradient
_BLOCK = 512  # characters whose nats are added up
_HEAD = 4  # times the rate of all else
_TRIAL = 20_000  # characters at the end of the training part that the rule is tuned on
_WORTH = 0.01  # of the loss: what pieces read one by one must gain, as they take seven times as long
_STATISTICS = 80_000  # characters before them that give the RMS
_RATES = (2.5e-5, 5e-5, 1e-4, 2e-4, 4e-4, 8e-4)
_DECAYS = (0.0, 1e-4, 3e-4, 1e-3)


@dataclass(frozen=True)
class Rule:
    """How fast the weights move, and how strongly they are pulled back."""

    rate: float
    decay: float


@dataclass(frozen=True, eq=False)
class Adapter:
    """Saved weights, for each of them 1 / (RMS + epsilon) and RMS / mean(RMS), and whether the reader is `exact`."""

    saved: Weights
    scale: nnx.State
    pull: nnx.State
    exact: bool = False

    @classmethod
    def measured(cls, weights: Weights, training_ids: np.ndarray, exact: bool = False) -> "Adapter":
        """With the RMS over the training part, ahead of what `tune` reads; of several members the first one learns."""
        weights = weights.member(0)
        ids = training_ids[:-_TRIAL] if len(training_ids) > 2 * _TRIAL else training_ids
        ids = ids[-_STATISTICS:]
        windows = Windows(ids, _MANY, PIECE)
        measure, _ = _make_programs(weights.model.for_inference())
        params, states = jax.device_put(weights.params), zero_states(weights.model, windows.batch_size)
        squares, steps = jax.tree.map(jnp.zeros_like, params), -(-(len(ids) - 1) // windows.characters_per_step)
        for step in range(steps):
            states, squares = measure(params, states, squares, *windows.window(step))
        # Gradients of characters are taken for independent, so that squares add up: of the mean of 20, 1/20 of one's.
        share = 1 / (_UNIT * steps * windows.characters_per_step)
        rms = jax.tree.map(lambda square: jnp.sqrt(square * share), squares)
        leaves = jax.tree.leaves(rms)
        mean = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)
        scale = map_named(lambda name, rms: (_HEAD if _is_head(name) else 1) / (rms + _EPSILON * mean), rms)
        return cls(weights, scale, jax.tree.map(lambda rms: rms / mean, rms), exact)

    def score_text(self, ids: np.ndarray, rule: Rule, on_scored: OnScored = lambda characters: None) -> Score:
        """Score every character of `ids` `[N]` but the first, learning from each segment."""
        return self._score(ids, rule, self._starts(ids), on_scored)

    def predict(self, ids: np.ndarray, rule: Rule, on_scored: OnScored = lambda characters: None) -> Predictions:
        """The same, character by character."""
        parts, done = [Predictions(np.zeros(0, np.float32), np.zeros(0, np.float32))], 0
        for part, _ in self._read(ids, rule, self._starts(ids)):
            parts.append(part)
            done += len(part.nats)
            on_scored(done)
        return Predictions(*map(np.concatenate, zip(*parts, strict=True)))

    def learn(self, ids: np.ndarray, rule: Rule) -> Weights:
        """The weights after `ids` `[N]`, in a model of their own."""
        params = self.saved.params
        for part in self._read(ids, rule, self._starts(ids)):
            params = part[1]
        return replace(self.saved, params=jax.tree.map(np.asarray, params))

    def tune(
        self, training_ids: np.ndarray, rates: Sequence[float] = _RATES, decays: Sequence[float] = _DECAYS
    ) -> Rule:
        """The rule that reads the end of the training part best: first the rate is chosen, then the decay."""
        ids = training_ids[-_TRIAL:]
        starts = list(self._starts(ids))

        def loss(rule: Rule) -> float:
            return self._score(ids, rule, starts, lambda characters: None).loss

        rate = min(rates, key=lambda rate: loss(Rule(rate, 0.0)))
        return min((Rule(rate, decay) for decay in decays), key=loss)

    def tuned(self, training_ids: np.ndarray) -> tuple["Adapter", Rule]:
        """The rule, and who follows it: pieces are read one by one where that is clearly better.

        So it is where a text repeats itself at once. With the rule as it is, the end of the training part of
        folk-tunes.abc costs 1.2% less then, of Python code 2.2%, of tiny Shakespeare 0.2%.
        """
        rule, ids = self.tune(training_ids), training_ids[-_TRIAL:]
        if self.exact:
            return self, rule
        one_by_one = replace(self, exact=True)
        side_by_side = self.score_text(ids, rule).loss
        gain = side_by_side - one_by_one.score_text(ids, rule).loss
        return (one_by_one, one_by_one.tune(training_ids)) if gain > _WORTH * side_by_side else (self, rule)

    def _starts(self, ids: np.ndarray) -> Iterator[States | None]:
        """Of each dispatch the states before its pieces, `[K, S, H]`; None where the reader carries its own."""
        pairs = len(ids) - 1
        yield from repeat(None, -(-(pairs if self.exact else min(pairs, _ALONE)) // _DISPATCH))
        if self.exact or pairs <= _ALONE:
            return
        place, at_once = _ALONE, _DISPATCH // PIECE
        for states in states_every(self.saved, ids, PIECE, _ALONE):
            for first in range(0, len(jax.tree.leaves(states)[0]), at_once):
                pieces = _FEW if place < _FAR else _MANY
                yield jax.tree.map(
                    lambda x, first=first, pieces=pieces: x[first : first + at_once].reshape(-1, pieces, x.shape[-1]),
                    states,
                )
                place += _DISPATCH

    def _score(self, ids: np.ndarray, rule: Rule, starts: Iterable[States | None], on_scored: OnScored) -> Score:
        tally = Tally()
        for (nats, _), _ in self._read(ids, rule, starts):
            first = tally.characters + 1  # the very first character is not scored
            utf8_bytes = int(self.saved.vocabulary.byte_lengths[ids[first : first + len(nats)]].sum())
            blocks = np.arange(0, len(nats), _BLOCK)
            tally.add(np.add.reduceat(nats, blocks), np.diff(blocks, append=len(nats)), utf8_bytes)
            on_scored(tally.characters)
        return tally.score()

    def _read(
        self, ids: np.ndarray, rule: Rule, starts: Iterable[States | None]
    ) -> Iterator[tuple[Predictions, nnx.State]]:
        """What the characters of each dispatch cost, in order, and the weights after it."""
        _, adapt = _make_programs(self.saved.model.for_inference())
        fixed = jax.device_put((self.saved.params, self.scale, self.pull))
        params, states = fixed[0], zero_states(self.saved.model, 1)
        for place, start in zip(range(0, len(ids) - 1, _DISPATCH), starts, strict=False):
            pieces = 1 if start is None else jax.tree.leaves(start)[0].shape[1]
            positions = place + np.arange(_DISPATCH).reshape(-1, pieces, PIECE).swapaxes(1, 2)
            cut = masked_pairs(ids, positions, np.ones_like(positions, bool))
            is_read = (positions[:, 0, 0] < len(ids) - 1).astype(np.float32)  # an empty segment moves nothing
            rates, decays = rule.rate * is_read, rule.decay * is_read
            states = states if start is None else None
            params, states, found = adapt(*fixed, params, states, start, *cut, rates, decays)
            count = min(_DISPATCH, len(ids) - 1 - place)
            found = (np.asarray(each).reshape(-1)[:count] for each in found)
            yield Predictions(*found), params


@lru_cache(maxsize=2)
def _make_programs(model: ModelConfig):
    """Compile-ready `measure`, which adds up squared gradients, and `adapt`, which learns; segments are `[T, S]`."""
    definition, _ = abstract_model(model)

    @jax.jit
    def measure(params, states, squares, inputs, targets):
        def loss(params):
            logits, after = nnx.merge(definition, params)(inputs, states)
            return cross_entropy(logits, targets, model.rare).sum(), after

        g, states = jax.grad(loss, has_aux=True)(params)
        return states, jax.tree.map(lambda square, g: square + g * g, squares, g)

    @partial(jax.grad, argnums=(0, 1), has_aux=True)
    def piece_gradient(head, outputs, targets, mask):
        logits = (outputs @ head["head_kernel"] + head["head_bias"][None])[None]
        nats = cross_entropy(logits, targets[None], model.rare)[0]
        return (nats * mask).sum() / _UNIT, (nats, entropy(logits, model.rare)[0])

    @jax.jit
    def adapt(saved, scale, pull, params, states, starts, inputs, targets, mask, rates, decays):
        def segment(carry, at):
            params, states = carry
            start, inputs, targets, mask, rate, decay = at

            def moved(pieces, w, g, scale, pull, w_0):
                return w - rate * g * scale + jnp.minimum(1, pieces * decay * pull) * (w_0 - w)

            def piece(head, at):
                (g, d_outputs), found = piece_gradient(head, *at)
                return jax.tree.map(partial(moved, 1), head, g, *map(_head, (scale, pull, saved))), (d_outputs, found)

            def outputs_of(params):
                return nnx.merge(definition, params).outputs(inputs, states if start is None else start)

            outputs, back, states = jax.vjp(outputs_of, params, has_aux=True)
            pieces = jax.tree.map(_swapped, (outputs, targets, mask))
            head, (d_outputs, found) = jax.lax.scan(piece, _head(params), pieces)
            (g,) = back(_swapped(d_outputs))
            params = jax.tree.map(partial(moved, len(d_outputs)), params, g, scale, pull, saved)
            params = map_named(lambda name, w: head.get(name, w), params)
            return (params, states if start is None else None), found

        segments = starts, inputs, targets, mask, rates, decays
        (params, states), found = jax.lax.scan(segment, (params, states), segments)
        return params, states, found

    return measure, adapt


def _head(params: nnx.State) -> dict[str, jax.Array]:
    return {name: leaf for name, leaf in to_tensors(params).items() if _is_head(name)}


def _is_head(name: str) -> bool:
    return name in ("head_kernel", "head_bias")


def _swapped(x: jax.Array) -> jax.Array:
    """`[T, S, ...]` as `[S, T, ...]`, and back."""
    return jnp.swapaxes(x, 0, 1)
