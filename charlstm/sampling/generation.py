"""Sampling ids: the jitted chunk of steps, and a generator of what it draws.

V: vocabulary.  S: streams that are sampled in parallel.  C: characters of a chunk.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Float, Integer, Key

from charlstm.config import ModelConfig
from charlstm.model.counts import RECENT, Counts
from charlstm.model.members import Params, merge
from charlstm.model.parameters import abstract_model
from charlstm.model.pool import Reading, beside, mix
from charlstm.runtime.mesh import STREAMS, make_mesh, replicate, shard_streams
from charlstm.sampling.filters import Filters, sample_ids
from charlstm.sampling.prompt import PromptState, make_table
from charlstm.sampling.repetition import Copies, copies_of, discourage, follow

CHUNK = 128  # characters to a dispatch: 1 ms of overhead is nothing beside it, and text still seems to flow


def _uniforms(keys: Key[Array, " S"], numbers: Integer[Array, " C"]) -> Float[Array, "C S"]:
    """The random number of each character's place and stream."""

    def uniform(number: Array, key: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, number))

    return jax.vmap(jax.vmap(uniform, (None, 0)), (0, None))(numbers, keys)


class Streams(NamedTuple):
    """What texts are at a place: states, logits of the next character and, where repetition has a price, copies."""

    states: Any
    logits: Float[Array, "S V"]
    copies: Copies | None


class Drawn(NamedTuple):
    """The ids of a chunk and, where they are asked for, the logarithms of their probabilities before any filter."""

    ids: Integer[Array, "C S"]
    log_probabilities: Float[Array, "C S"] | None


@lru_cache(maxsize=8)
def make_chunk(model: ModelConfig, filters: Filters, mesh: Mesh, is_scored: bool = False):
    """Compile-ready `chunk(params, counts, table, mask, streams, seeds [S], first) -> (streams, drawn)`.

    `mask` `[V]` is -inf for what may not be sampled and 0 for the rest, or None.
    """
    definition, _ = abstract_model(model)
    by_streams = P(STREAMS)

    @partial(jax.jit, donate_argnums=4)
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(), P(), P(), by_streams, by_streams, P()),
        out_specs=(by_streams, P(None, STREAMS)),
        check_vma=False,
    )
    def chunk(
        params,
        counts: Counts | None,
        table: Any,
        mask: Array | None,
        streams: Streams,
        seeds: Array,
        first: Array,
    ):
        network = beside(merge(definition, params), counts)
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
    params: Params,
    prompts: Sequence[PromptState],
    length: int,
    filters: Filters,
    seeds: Sequence[int],
    mask: np.ndarray | None = None,
    is_scored: bool = False,
    precision: DTypeLike = jnp.float32,
    counts: Counts | None = None,
) -> Iterator[Drawn]:
    """Chunks `[n, S]` of what follows each of the `prompts`, `length` in all or, if it is 0, without end.

    Where there are `counts`, their mixture with the network is sampled. Each stream is sampled on its own, with its own
    seed. The next chunk is being computed while the caller uses this
    one. Products round their operands to `precision`: many streams are faster in bfloat16 where training is; a single
    one is not.
    """
    model = model.for_inference()
    params = jax.device_put(params)  # once, for the table and for sampling
    table = make_table(model)(params)
    params = jax.tree.map(lambda leaf: leaf.astype(precision) if leaf.ndim > 1 else leaf, params)
    mesh = make_mesh(len(seeds))
    params, counts, table, mask = replicate(mesh, (params, counts, table, mask))
    copies = copies_of(np.stack([each.recent for each in prompts])) if filters.repetition else None
    states, logits = jax.tree.map(lambda *one: np.concatenate(one), *((each.states, each.logits) for each in prompts))
    if counts is not None:
        recent = jnp.stack([jnp.asarray(each.recent[-RECENT:]) + 1 for each in prompts])
        states, logits = Reading(states, recent), mix(counts, logits, recent)
    streams = shard_streams(mesh, Streams(states, logits, copies))
    seeds = shard_streams(mesh, np.array([seed % 2**32 for seed in seeds], np.uint32))
    chunk = make_chunk(model, filters, mesh, is_scored)
    pending: list[Drawn] = []
    for first in range(0, length, CHUNK) if length else itertools.count(0, CHUNK):
        streams, drawn = chunk(params, counts, table, mask, streams, seeds, np.uint32(first % 2**32))
        pending.append(drawn)
        if len(pending) > 1:
            yield jax.tree.map(np.asarray, pending.pop(0))
    for drawn in pending:
        yield jax.tree.map(lambda part: np.asarray(part)[: length % CHUNK or CHUNK], drawn)
