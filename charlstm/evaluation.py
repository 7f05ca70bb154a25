"""How well a model predicts a text: exact sums of nats, divided once.

Every character but the first is scored exactly once, with the state carried over the whole text. `streams > 1` read
parts of the text side by side, each after a run-up over the text before its part, unscored, which brings its state
close to that of a single reader: 512 characters leave a difference of the mean far below 0.0005 nats.

T: characters of a window.  S: streams that read side by side.  W: run-up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig
from charlstm.model import cross_entropy, define, zero_states
from charlstm.score import Score
from charlstm.sharding import STREAMS, by_stream, everywhere, make_mesh
from charlstm.vocabulary import Vocabulary

RUN_UP = 512
_WINDOW = 64
_DISPATCH = 8  # windows to a dispatch
_MOST_STREAMS = 256


@dataclass(frozen=True)
class Layout:
    """How S streams share the `pairs` (character, successor) of a text.

    Stream j reads `length` pairs from `j (length - run_up)` on and scores them all but its run-up; stream 0 has none.
    """

    pairs: int
    streams: int
    run_up: int

    @classmethod
    def of(cls, pairs: int, streams: int | None, run_up: int = RUN_UP) -> "Layout":
        """For `streams` streams; by default as many as make run-ups at most a quarter of the work."""
        if streams is None:
            streams = max(1, min(_MOST_STREAMS, pairs // (4 * run_up)))
            streams -= streams % 8 if streams > 8 else 0  # a number that devices can share
        return cls(pairs, streams, run_up if streams > 1 else 0)

    @property
    def length(self) -> int:
        """Pairs that each stream reads."""
        return -(-(self.pairs + (self.streams - 1) * self.run_up) // self.streams)

    def window(self, ids: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, targets and what counts (1 or 0) of a window, `[T, S]` each."""
        time = number * _WINDOW + np.arange(_WINDOW)[:, None]
        first = np.arange(self.streams) * (self.length - self.run_up)
        places = first + time
        counts = (places < self.pairs) & (time < self.length) & (time >= np.where(first > 0, self.run_up, 0))
        places = np.minimum(places, self.pairs - 1)
        return ids[places], ids[places + 1], counts.astype(np.float32)


@lru_cache(maxsize=4)
def _make_scorer(model: ModelConfig, mesh: Mesh):
    """Compile-ready `score(params, states, inputs, targets, counts) -> (states, nats of each window)`."""
    definition, _ = define(model)

    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(STREAMS), *[P(None, None, STREAMS)] * 3),
        out_specs=(P(STREAMS), P()),
        check_vma=False,
    )
    def score(params, states, inputs, targets, counts):
        network = nnx.merge(definition, params)

        def window(states, at):
            inputs, targets, counts = at
            logits, states = network(inputs, states)
            return states, (cross_entropy(logits, targets) * counts).sum()

        states, nats = jax.lax.scan(window, states, (inputs, targets, counts))
        return states, jax.lax.psum(nats, STREAMS)

    return score


def evaluate(
    model: ModelConfig,
    params: nnx.State,
    ids: np.ndarray,
    vocabulary: Vocabulary,
    streams: int | None = None,
    tell: Callable[[Score], None] = lambda score: None,
) -> Score:
    """Score every character of `ids` `[N]` but the first. `streams=1` is exact: one reader, no run-up.

    The sums of windows are added in double precision on the host, so that nothing drifts however long the text is.
    `tell` hears of the score so far, now and then.
    """
    layout = Layout.of(len(ids) - 1, streams)
    mesh = make_mesh(layout.streams)
    scorer = _make_scorer(model, mesh)
    params = everywhere(mesh, params)
    states = by_stream(mesh, zero_states(model, layout.streams))
    windows = -(-layout.length // _WINDOW)
    nats, characters, size = 0.0, 0, 0
    waiting: list[jax.Array] = []  # sums that are still being computed while the next windows are cut

    for start in range(0, windows, _DISPATCH):
        cut = [layout.window(ids, start + k) for k in range(_DISPATCH)]
        inputs, targets, counts = (np.stack(part) for part in zip(*cut, strict=True))
        states, sums = scorer(
            params,
            states,
            by_stream(mesh, inputs, 2),
            by_stream(mesh, targets, 2),
            by_stream(mesh, counts, 2),
        )
        waiting.append(sums)
        seen = np.bincount(targets[counts > 0], minlength=len(vocabulary))
        characters += int(seen.sum())
        size += int(seen @ vocabulary.byte_lengths)
        if len(waiting) > 1:
            nats += float(np.asarray(waiting.pop(0), np.float64).sum())
            tell(Score(nats, characters, size))
    nats += sum(float(np.asarray(sums, np.float64).sum()) for sums in waiting)
    return Score(nats, characters, size)
