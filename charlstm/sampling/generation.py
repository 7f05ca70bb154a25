"""Sampling text: the jitted chunk of steps, and `generate`, a generator of text.

V: vocabulary.  S: streams that are sampled in parallel.  C: characters of a chunk.
"""

from collections.abc import Iterator
from functools import lru_cache, partial

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
from charlstm.model.network import States, zero_states
from charlstm.model.parameters import abstract_model
from charlstm.runs.weights import Weights
from charlstm.runtime.mesh import STREAMS, make_mesh, own_streams, replicate, shard_streams
from charlstm.runtime.setup import each_within, ready_jax
from charlstm.sampling.ending import Ending
from charlstm.sampling.filters import Filters, sample_ids

CHUNK = 128  # characters to a dispatch: 1 ms of overhead is nothing beside it, and text still seems to flow
_PROMPT_BLOCK = 256  # prompts are padded to a multiple of this, so that few lengths have to be compiled ...
_PROMPT_PIECE = 2**16  # ... and long ones are read in pieces of this
_MAX_TABLE = 2**26  # numbers of the gate table: 256 MiB


def _uniforms(keys: Key[Array, " S"], numbers: Integer[Array, " C"]) -> Float[Array, "C S"]:
    """The random number of each character's place and stream."""

    def uniform(number: Array, key: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, number))

    return jax.vmap(jax.vmap(uniform, (None, 0)), (0, None))(numbers, keys)


@lru_cache(maxsize=8)
def make_chunk(model: ModelConfig, filters: Filters, mesh: Mesh):
    """Compile-ready `chunk(params, table, states, logits, key, first) -> (states, logits, ids [CHUNK, S])`."""
    definition, _ = abstract_model(model)
    by_streams = P(STREAMS)

    @partial(jax.jit, donate_argnums=(2, 3))
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(), by_streams, by_streams, P(), P()),
        out_specs=(by_streams, by_streams, P(None, STREAMS)),
        check_vma=False,
    )
    def chunk(params, table: Array | None, states: States, logits: Array, key: Array, first: Array):
        network = nnx.merge(definition, params)
        # Each stream has its own randomness: what is sampled does not depend on how many others there are.
        keys = jax.vmap(partial(jax.random.fold_in, key))(own_streams(logits.shape[0]))
        # For all characters at once: each would cost more than a time step of a small model (jax 0.10).
        uniforms = _uniforms(keys, first + jnp.arange(CHUNK, dtype=jnp.uint32))

        def step(carry, uniform):
            states, logits = carry
            ids = sample_ids(uniform, logits, filters)
            logits, states = network.step(ids, states, table)
            return (states, logits), ids

        (states, logits), ids = jax.lax.scan(step, (states, logits), uniforms)
        return states, logits, ids

    return chunk


@lru_cache(maxsize=8)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, ids [N], count, start) -> (gate table, states, logits)` after the first `count` ids.

    It goes on from the states and logits `start`, or from zeros. The gate table is None if it were too large.
    """
    definition, _ = abstract_model(model)
    has_table = model.rows * 4 * model.hidden_size <= _MAX_TABLE

    @jax.jit
    def read(params, ids: Array, count: Array, start: tuple[States, Array] | None):
        network = nnx.merge(definition, params)
        table = network.gate_table() if has_table else None

        def step(place, carry):
            states, _ = carry
            logits, states = network.step(ids[place][None], states, table)
            return states, logits

        start = start or (zero_states(model, 1), jnp.zeros((1, model.vocabulary_size)))
        return table, *jax.lax.fori_loop(0, count, step, start)

    return read


def read_prompt(
    model: ModelConfig, params: nnx.State, ids: np.ndarray
) -> tuple[Array | None, States, Float[Array, "1 V"]]:
    """The gate table, and the states and logits after the prompt `ids` `[N]`; uniform logits after an empty one.

    Where the table would be too large, it is None.
    """
    read = _make_reader(model.for_inference())

    def after(first: int, start: tuple[States, Array] | None):
        piece = ids[first : first + _PROMPT_PIECE]
        padded = np.zeros(-(-max(1, len(piece)) // _PROMPT_BLOCK) * _PROMPT_BLOCK, np.int32)
        padded[: len(piece)] = piece
        return read(params, padded, len(piece), start)

    table, states, logits = after(0, None)
    for first in range(_PROMPT_PIECE, len(ids), _PROMPT_PIECE):
        _, states, logits = after(first, (states, logits))
    return table, states, logits


def generate_ids(
    model: ModelConfig,
    params: nnx.State,
    prompt: np.ndarray,
    length: int,
    filters: Filters,
    seed: int,
    streams: int = 1,
    precision: DTypeLike = jnp.float32,
) -> Iterator[np.ndarray]:
    """Chunks of ids `[n, S]` that follow the prompt, `length` in all, each stream sampled on its own.

    The next chunk is being computed while the caller uses this one. Products round their operands to `precision`:
    many streams are faster in bfloat16 where training is; a single one is not.
    """
    params = jax.device_put(params)  # once, for reading and sampling
    table, *after_prompt = read_prompt(model, params, prompt)
    params = jax.tree.map(lambda leaf: leaf.astype(precision) if leaf.ndim > 1 else leaf, params)
    mesh = make_mesh(streams)
    params, table = replicate(mesh, (params, table))
    states, logits = shard_streams(mesh, jax.tree.map(lambda x: np.repeat(x, streams, axis=0), after_prompt))
    chunk, key = make_chunk(model.for_inference(), filters, mesh), jax.random.key(seed)
    pending: list[Array] = []
    for first in range(0, length, CHUNK):
        states, logits, ids = chunk(params, table, states, logits, key, np.uint32(first % 2**32))
        pending.append(ids)
        if len(pending) > 1:
            yield np.asarray(pending.pop(0))
    for ids in pending:
        yield np.asarray(ids)[: length % CHUNK or CHUNK]


def generate(
    weights: Weights, prompt: str, length: int, filters: Filters, seed: int, ending: Ending | None = None
) -> Iterator[str]:
    """Text that follows `prompt`, in pieces; both in symbols of the vocabulary.

    It ends after `length` symbols or where `ending` says.

    Raises:
        VocabularyError: the prompt has unknown characters.
    """
    ids = weights.vocabulary.encode_prompt(prompt)
    chunks = generate_ids(weights.model, weights.params, ids, length, filters, seed)
    # Between the pieces JAX is the caller's.
    sampled = (drawn[:, 0] for drawn in each_within(ready_jax, chunks))
    for drawn in ending.cut(sampled, ids) if ending else sampled:
        yield weights.vocabulary.decode(drawn)


def next_symbols(weights: Weights, prompt: str, top: int) -> list[tuple[str, float]]:
    """The `top` most likely symbols after `prompt` with their probabilities, the most likely first.

    Raises:
        VocabularyError: the prompt has unknown characters.
    """
    *_, logits = read_prompt(weights.model, weights.params, weights.vocabulary.encode_prompt(prompt))
    probabilities = np.asarray(jax.nn.softmax(logits[0]))
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [(weights.vocabulary.decode(best[n : n + 1]), float(probabilities[best[n]])) for n in range(len(best))]
