"""How well a model predicts a text: exact sums of nats, divided once.

Every character but the first is scored exactly once, with the state carried over the whole text. `streams > 1` read
parts of the text in parallel, each after a warm-up over the text before its part, unscored, which brings its state
close to that of a single reader: 512 characters leave a difference of the mean far below 0.0005 nats.

T: characters of a window.  S: streams that are read in parallel.  W: warm-up.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig
from charlstm.evaluation.predictions import Predictions
from charlstm.evaluation.tally import Tally
from charlstm.model.loss import cross_entropy, entropy
from charlstm.model.members import merge
from charlstm.model.parameters import abstract_model
from charlstm.model.pool import beside, zero_reading
from charlstm.runs.weights import Weights
from charlstm.runtime.memory import MAX_LOGITS
from charlstm.runtime.mesh import STREAMS, make_mesh, replicate, shard_streams
from charlstm.score import Score
from charlstm.text.batches import masked_pairs

WARM_UP = 512  # characters in which a state becomes that of its text
WINDOW = 64
_DISPATCH = 8  # windows to a dispatch
_MAX_STREAMS = 256
_BLOCK = _DISPATCH * WINDOW  # characters of a stream in a dispatch, whose nats are added up

OnScored = Callable[[int], None]  # told now and then how many characters are scored


@dataclass(frozen=True)
class Layout:
    """How S streams share the `pairs` (character, successor) of a text.

    Stream j reads `length` pairs from `j (length - warm_up)` on and scores them all but its warm-up; stream 0 has none.
    """

    pairs: int
    streams: int
    warm_up: int
    window_length: int = WINDOW

    @classmethod
    def of(cls, pairs: int, streams: int | None, warm_up: int = WARM_UP, rows: int = 1) -> "Layout":
        """For `streams` streams; by default as many as make warm-ups at most a quarter of the work.

        Memory does not grow with the `rows` of the head: where they are many, streams are fewer and windows shorter.
        """
        if streams is None:
            streams = max(1, min(_MAX_STREAMS, MAX_LOGITS // rows, pairs // (4 * warm_up)))
            streams -= streams % 8 if streams > 8 else 0  # a number that devices can share
        return cls(pairs, streams, warm_up if streams > 1 else 0, fitting_window(WINDOW, streams, rows))

    @property
    def length(self) -> int:
        """Pairs that each stream reads."""
        return -(-(self.pairs + (self.streams - 1) * self.warm_up) // self.streams)

    def window(self, ids: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, targets and mask (1 where a character is scored) of a window, `[T, S]` each."""
        time = number * self.window_length + np.arange(self.window_length)[:, None]
        mask = (time < self.length) & (time >= np.where(np.arange(self.streams) > 0, self.warm_up, 0))
        return masked_pairs(ids, self.places(number), mask)

    def places(self, number: int) -> np.ndarray:
        """Which of the pairs a window has: `[T, S]`."""
        time = number * self.window_length + np.arange(self.window_length)[:, None]
        return np.arange(self.streams) * (self.length - self.warm_up) + time


def fitting_window(window: int, streams: int, rows: int) -> int:
    """`window` if its logits fit, or else the largest power of two that does."""
    if window * streams * rows <= MAX_LOGITS:
        return window
    return 1 << max(1, MAX_LOGITS // (streams * rows)).bit_length() - 1


@lru_cache(maxsize=4)
def make_scorer(model: ModelConfig, mesh: Mesh, each: bool = False):
    """Compile-ready `score(params, counts, states, inputs, targets, mask) -> (states, nats [S])`.

    Windows are `[K, T, S]`. If `each`, it returns the nats and the entropies of all their places, too.
    """
    definition, _ = abstract_model(model)

    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(), P(STREAMS), *[P(None, None, STREAMS)] * 3),
        out_specs=(P(STREAMS), P(STREAMS)) + each * (P(None, None, STREAMS),),
        check_vma=False,
    )
    def score(params, counts, states, inputs, targets, mask):
        network = beside(merge(definition, params), counts)

        def window(carry, at):
            states, sums = carry
            inputs, targets, mask = at
            logits, states = network(inputs, states)
            nats = cross_entropy(logits, targets, model.rare)
            predictions = ((nats, entropy(logits, model.rare)),) if each else ()
            return (states, sums + (nats * mask).sum(0)), predictions

        carry = states, jnp.zeros(inputs.shape[-1])
        (states, sums), predictions = jax.lax.scan(window, carry, (inputs, targets, mask))
        return states, sums, *predictions

    return score


class _Scorer:
    """Scores windows without waiting for them: while the device computes, the next ones are cut.

    `found` are arrays for the predictions of all pairs of the text, or of its first ones, if these are wanted.
    """

    def __init__(self, weights: Weights, streams: int, on_scored: OnScored, found: Predictions | None = None) -> None:
        self._mesh, self._found = make_mesh(streams), found
        self._score = make_scorer(weights.model.for_inference(), self._mesh, found is not None)
        self._network = replicate(self._mesh, (weights.params, weights.counts))
        self._zeros = shard_streams(self._mesh, zero_reading(weights.model, weights.counts, streams))
        self._states = self._zeros
        self._byte_lengths = weights.vocabulary.byte_lengths
        self._pending: deque[tuple[jax.Array, np.ndarray, int]] = deque()
        self._pending_each: deque[tuple[np.ndarray, np.ndarray, tuple[jax.Array, jax.Array]]] = deque()
        self._tally, self._on_scored = Tally(), on_scored

    def add(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        mask: np.ndarray,
        reset_state: bool = False,
        places: np.ndarray | None = None,
    ) -> None:
        """Score the windows `[K, T, S]` where `mask` is 1, from the states that the last ones left or from zeros.

        `places` `[K, T, S]` says which pairs of the text they are.
        """
        states = self._zeros if reset_state else self._states
        windows = (shard_streams(self._mesh, part, 2) for part in (inputs, targets, mask))
        self._states, nats, *each = self._score(*self._network, states, *windows)
        utf8_bytes = int(self._byte_lengths[targets[mask > 0]].sum())
        self._pending.append((nats, mask.sum((0, 1)), utf8_bytes))
        if places is not None:
            self._pending_each.append((places, mask, *each))
        self._collect(1)
        self._on_scored(self._tally.characters)

    def _collect(self, under_way: int) -> None:
        while len(self._pending) > under_way:
            nats, characters, utf8_bytes = self._pending.popleft()
            self._tally.add(np.asarray(nats), characters, utf8_bytes)
            if self._found:
                places, mask, each = self._pending_each.popleft()
                kept = (mask > 0) & (places < len(self._found.nats))
                for found, part in zip(self._found, each, strict=True):
                    found[places[kept]] = np.asarray(part)[kept]

    def score(self) -> Score:
        """The score of all windows."""
        self._collect(0)
        return self._tally.score()


def score_text(
    weights: Weights,
    ids: np.ndarray,
    streams: int | None = None,
    on_scored: OnScored = lambda characters: None,
    found: Predictions | None = None,
) -> Score:
    """Score every character of `ids` `[N]` but the first. `streams=1` is exact: one reader, no warm-up.

    Sums of at most 512 characters are added in double precision on the host, so that nothing drifts however long the
    text is. What each of them costs is written to `found`, `[N - 1]` or shorter, if it is given.
    """
    layout = Layout.of(len(ids) - 1, streams, rows=weights.model.rows)
    scorer = _Scorer(weights, layout.streams, on_scored, found)
    at_once = _BLOCK // layout.window_length
    for start in range(0, -(-layout.length // layout.window_length), at_once):
        cut = [layout.window(ids, start + k) for k in range(at_once)]
        inputs, targets, mask = (np.stack(parts) for parts in zip(*cut, strict=True))
        places = np.stack([layout.places(start + k) for k in range(at_once)]) if found else None
        scorer.add(inputs, targets, mask, places=places)
    return scorer.score()


def score_windows(
    weights: Weights, ids: np.ndarray, length: int, on_scored: OnScored = lambda characters: None
) -> Score:
    """Score `ids` as models without a lasting state are scored: in windows of `length`, each from a zero state."""
    pairs, rows = len(ids) - 1, weights.model.rows
    streams = max(1, min(_MAX_STREAMS, MAX_LOGITS // rows, 2**15 // length, -(-pairs // length)))
    piece = fitting_window(length, streams, rows)
    time = np.arange(-(-length // piece) * piece).reshape(-1, piece, 1)
    scorer = _Scorer(weights, streams, on_scored)
    for first in range(0, pairs, streams * length):
        positions = first + np.arange(streams) * length + time
        inputs, targets, mask = masked_pairs(ids, positions, np.broadcast_to(time < length, positions.shape))
        scorer.add(inputs, targets, mask, reset_state=True)
    return scorer.score()
