"""Sampling text: the jitted chunk of steps, and `generate`, a generator of text.

V: vocabulary.  S: streams that are sampled in parallel.  C: characters of a chunk.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Float, Integer, Key

from charlstm.config import ModelConfig
from charlstm.model.network import States
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights
from charlstm.runtime.mesh import STREAMS, make_mesh, replicate, shard_streams
from charlstm.runtime.setup import each_within, ready_jax
from charlstm.sampling.ends import Ended, Ends
from charlstm.sampling.filters import Filters, sample_ids
from charlstm.sampling.prompt import PromptState, make_table, read
from charlstm.sampling.repetition import Copies, copies_of, discourage, follow
from charlstm.text.vocabulary import Vocabulary

CHUNK = 128  # characters to a dispatch: 1 ms of overhead is nothing beside it, and text still seems to flow
MAX_STREAMS = 256  # at a time: memory and the wait for the first text stay small


def _uniforms(keys: Key[Array, " S"], numbers: Integer[Array, " C"]) -> Float[Array, "C S"]:
    """The random number of each character's place and stream."""

    def uniform(number: Array, key: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, number))

    return jax.vmap(jax.vmap(uniform, (None, 0)), (0, None))(numbers, keys)


class Streams(NamedTuple):
    """What texts are at a place: states, logits of the next character and, where repetition has a price, copies."""

    states: States
    logits: Float[Array, "S V"]
    copies: Copies | None


class Drawn(NamedTuple):
    """The ids of a chunk and, where they are asked for, the logarithms of their probabilities before any filter."""

    ids: Integer[Array, "C S"]
    log_probabilities: Float[Array, "C S"] | None


@lru_cache(maxsize=8)
def make_chunk(model: ModelConfig, filters: Filters, mesh: Mesh, is_scored: bool = False):
    """Compile-ready `chunk(params, table, mask, streams, seeds [S], first) -> (streams, drawn)`.

    `mask` `[V]` is -inf for what may not be sampled and 0 for the rest, or None.
    """
    definition, _ = abstract_model(model)
    by_streams = P(STREAMS)

    @partial(jax.jit, donate_argnums=3)
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(), P(), by_streams, by_streams, P()),
        out_specs=(by_streams, P(None, STREAMS)),
        check_vma=False,
    )
    def chunk(params, table: Array | None, mask: Array | None, streams: Streams, seeds: Array, first: Array):
        network = nnx.merge(definition, params)
        # Each stream has its own randomness: what is sampled does not depend on which others there are.
        keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), 0))(seeds)
        # For all characters at once: each would cost more than a time step of a small model (jax 0.10).
        uniforms = _uniforms(keys, first + jnp.arange(CHUNK, dtype=jnp.uint32))

        def step(streams: Streams, uniform: Array):
            states, logits, copies = streams
            may = logits if mask is None else logits + mask[None]
            if copies is not None:
                may = discourage(may, copies, filters.repetition)
            ids = sample_ids(uniform, may, filters)
            drawn = Drawn(ids, _log_probabilities(logits, ids) if is_scored else None)
            copies = None if copies is None else follow(copies, ids)
            logits, states = network.step(ids, states, table)
            return Streams(states, logits, copies), drawn

        return jax.lax.scan(step, streams, uniforms)

    return chunk


def _log_probabilities(logits: Float[Array, "S V"], ids: Integer[Array, " S"]) -> Float[Array, " S"]:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), ids[:, None], -1)[:, 0]


def generate_ids(
    model: ModelConfig,
    params: nnx.State,
    prompts: Sequence[PromptState],
    length: int,
    filters: Filters,
    seeds: Sequence[int],
    mask: np.ndarray | None = None,
    is_scored: bool = False,
    precision: DTypeLike = jnp.float32,
) -> Iterator[Drawn]:
    """Chunks `[n, S]` of what follows each of the `prompts`, `length` in all or, if it is 0, without end.

    Each stream is sampled on its own, with its own seed. The next chunk is being computed while the caller uses this
    one. Products round their operands to `precision`: many streams are faster in bfloat16 where training is; a single
    one is not.
    """
    model = model.for_inference()
    params = jax.device_put(params)  # once, for the table and for sampling
    table = make_table(model)(params)
    params = jax.tree.map(lambda leaf: leaf.astype(precision) if leaf.ndim > 1 else leaf, params)
    mesh = make_mesh(len(seeds))
    params, table, mask = replicate(mesh, (params, table, mask))
    copies = copies_of(np.stack([each.recent for each in prompts])) if filters.repetition else None
    states, logits = jax.tree.map(lambda *one: np.concatenate(one), *((each.states, each.logits) for each in prompts))
    streams = shard_streams(mesh, Streams(states, logits, copies))
    seeds = shard_streams(mesh, np.array([seed % 2**32 for seed in seeds], np.uint32))
    chunk = make_chunk(model, filters, mesh, is_scored)
    pending: list[Drawn] = []
    for first in range(0, length, CHUNK) if length else itertools.count(0, CHUNK):
        streams, drawn = chunk(params, table, mask, streams, seeds, np.uint32(first % 2**32))
        pending.append(drawn)
        if len(pending) > 1:
            yield jax.tree.map(np.asarray, pending.pop(0))
    for drawn in pending:
        yield jax.tree.map(lambda part: np.asarray(part)[: length % CHUNK or CHUNK], drawn)


def generate(
    weights: Weights,
    after: PromptState,
    length: int,
    filters: Filters,
    seed: int,
    mask: np.ndarray | None = None,
    ends: Ends | None = None,
    cut: Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]] | None = None,
) -> Iterator[str]:
    """Text that follows what was read, in pieces, in symbols of the vocabulary.

    `cut`, if given, takes the ids as they are sampled, and gives those that are written.
    """
    chunks = generate_ids(weights.model, weights.params, [after], length, filters, [seed], mask)
    ends = ends or Ends()
    # Between the pieces JAX is the caller's.
    sampled = (np.asarray(drawn.ids[:, 0]) for drawn in each_within(ready_jax, chunks))
    for ids in cut(sampled) if cut else sampled:
        piece, ended = ends.cut(weights.vocabulary.decode(ids))
        yield piece
        if ended:
            return


@dataclass(eq=False)
class Sample:
    """A text that was sampled, or that is being sampled: `ended` says why it ended, None that it goes on."""

    prompt: str
    seed: int
    vocabulary: Vocabulary = field(repr=False)
    pieces: list[str] = field(default_factory=list, repr=False)  # in symbols of the vocabulary
    log_probabilities: list[float] = field(default_factory=list, repr=False)  # of each symbol, before any filter
    ended: Ended | None = None

    @property
    def text(self) -> str:
        """What follows the prompt."""
        return self.vocabulary.text_of("".join(self.pieces))


def generate_samples(
    weights: Weights,
    samples: Sequence[Sample],
    prompts: Sequence[PromptState],
    length: int,
    filters: Filters,
    mask: np.ndarray | None,
    ends: Sequence[Ends],
) -> Iterator[None]:
    """Let `samples` grow by a chunk at a time, all at once, until each has ended."""
    # Rows of eight fill vectors, and few numbers of streams have to be compiled.
    more = -len(samples) % 8 if len(samples) > 4 else 0
    seeds = [each.seed for each in samples] + [0] * more
    prompts = [*prompts, *[prompts[0]] * more]
    chunks = generate_ids(weights.model, weights.params, prompts, length, filters, seeds, mask, is_scored=True)
    done = 0
    for drawn in each_within(ready_jax, chunks):
        assert drawn.log_probabilities is not None
        done += len(drawn.ids)
        for stream, sample in enumerate(samples):
            if not sample.ended:
                ids = np.asarray(drawn.ids[:, stream])
                piece, sample.ended = ends[stream].cut(weights.vocabulary.decode(ids))
                sample.pieces.append(piece)
                kept = symbols_in(weights.vocabulary, ids, len(piece)) if sample.ended else len(ids)
                sample.log_probabilities += drawn.log_probabilities[:kept, stream].tolist()
                if done == length and not sample.ended:
                    sample.ended = "length"
        yield
        if all(sample.ended for sample in samples):
            return


def symbols_in(vocabulary: Vocabulary, ids: np.ndarray, characters: int) -> int:
    """How many of `ids` the first `characters` of their text are: a boundary stands for none, one or more of them."""
    lengths = np.ones(len(ids), int)
    if vocabulary.boundary is not None:
        lengths[ids == vocabulary.boundary] = len(vocabulary.separator)
    return int(np.searchsorted(np.cumsum(lengths), characters)) + 1 if characters else 0


def read_text(weights: Weights, prompt: str, before: PromptState | None = None) -> PromptState:
    """The state after `prompt`, in symbols of the vocabulary, from the beginning or from `before`.

    Raises:
        VocabularyError: the prompt has unknown characters.
    """
    ids = weights.vocabulary.encode(prompt) if before else weights.vocabulary.encode_prompt(prompt)
    return read(weights, ids, before) if len(ids) or before is None else before


def next_symbols(weights: Weights, after: PromptState, top: int) -> list[tuple[str, float]]:
    """The `top` most likely symbols after what was read with their probabilities, the most likely first."""
    probabilities = np.asarray(jax.nn.softmax(after.logits[0]))
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [(weights.vocabulary.decode(best[n : n + 1]), float(probabilities[best[n]])) for n in range(len(best))]
