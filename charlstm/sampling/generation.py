"""Drawing text: filters over logits, the jitted chunk of steps, and `generate`, a generator of text.

V: vocabulary.  S: streams drawn side by side.
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

from charlstm.config import ModelConfig, SamplingConfig
from charlstm.model.network import States, define, zero_states
from charlstm.runtime.mesh import STREAMS, by_stream, everywhere, make_mesh, own_streams
from charlstm.text.vocabulary import Vocabulary

CHUNK = 128  # characters to a dispatch: 1 ms of overhead is nothing beside it, and text still seems to flow
_PROMPT_BLOCK = 256  # prompts are padded to a multiple of this, so that few lengths have to be compiled


def filter_logits(logits: Float[Array, "S V"], config: SamplingConfig) -> Float[Array, "S V"]:
    """Scale by the temperature, keep the `top_k` likeliest and of these the smallest set that holds `top_p`.

    Everything else becomes -inf; the likeliest character always stays, at 0. `top_p` is nucleus sampling (Holtzman
    et al. 2020).
    """
    # From the largest down, so that no temperature, however low, overflows.
    logits = (logits - logits.max(-1, keepdims=True)) / max(config.temperature, 1e-30)
    if config.top_k and config.top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, config.top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if config.top_p < 1:
        descending = jnp.sort(logits, axis=-1, descending=True)
        before = jnp.cumsum(jax.nn.softmax(descending, axis=-1), axis=-1) - jax.nn.softmax(descending, axis=-1)
        least = jnp.where(before < config.top_p, descending, jnp.inf).min(-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def draw(uniform: Float[Array, " S"], logits: Float[Array, "S V"], config: SamplingConfig) -> Integer[Array, " S"]:
    """The id of the next character of each stream; at temperature 0 the likeliest.

    One random number in [0, 1) a stream finds its place among the summed probabilities. (Gumbel noise, as in
    `jax.random.categorical`, takes one for each symbol: a fifth of the time of 64 streams.)
    """
    if config.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = filter_logits(logits, config)
    heights = _running_sums(jnp.exp(logits))
    place = uniform[:, None] * heights[:, -1:]  # below the last height
    return (heights <= place).sum(-1).astype(jnp.int32)


def _running_sums(weights: Float[Array, "S V"]) -> Float[Array, "S V"]:
    """`cumsum` along the vocabulary; of few symbols a product with a triangle is faster (64 streams: 133 -> 125 us)."""
    size = weights.shape[-1]
    return weights @ jnp.triu(jnp.ones((size, size))) if size <= 256 else jnp.cumsum(weights, axis=-1)


def _uniforms(keys: Key[Array, " S"], numbers: Integer[Array, " C"]) -> Float[Array, "C S"]:
    """The random number of each character's place and stream."""

    def uniform(number: Array, key: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, number))

    return jax.vmap(jax.vmap(uniform, (None, 0)), (0, None))(numbers, keys)


@lru_cache(maxsize=8)
def make_chunk(model: ModelConfig, config: SamplingConfig, mesh: Mesh):
    """Compile-ready `chunk(params, table, states, logits, key, first) -> (states, logits, ids [CHUNK, S])`."""
    definition, _ = define(model)
    by_streams = P(STREAMS)

    @partial(jax.jit, donate_argnums=(2, 3))
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(), by_streams, by_streams, P(), P()),
        out_specs=(by_streams, by_streams, P(None, STREAMS)),
        check_vma=False,
    )
    def chunk(params, table: Array, states: States, logits: Array, key: Array, first: Array):
        network = nnx.merge(definition, params)
        # Each stream has its own randomness: what it draws does not depend on how many others there are.
        keys = jax.vmap(partial(jax.random.fold_in, key))(own_streams(logits.shape[0]))
        # For all characters at once: each would cost more than a time step of a small model (jax 0.10).
        uniforms = _uniforms(keys, first + jnp.arange(CHUNK))

        def step(carry, uniform):
            states, logits = carry
            ids = draw(uniform, logits, config)
            logits, states = network.step(ids, states, table)
            return (states, logits), ids

        (states, logits), ids = jax.lax.scan(step, (states, logits), uniforms)
        return states, logits, ids

    return chunk


@lru_cache(maxsize=8)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, ids [N], count) -> (gate table, states, logits)` after the first `count` ids."""
    definition, _ = define(model)

    @jax.jit
    def read(params, ids: Array, count: Array):
        network = nnx.merge(definition, params)
        table = network.gate_table()

        def step(place, carry):
            states, _ = carry
            logits, states = network.step(ids[place][None], states, table)
            return states, logits

        start = zero_states(model, 1), jnp.zeros((1, model.vocabulary_size))
        return table, *jax.lax.fori_loop(0, count, step, start)

    return read


def read_prompt(model: ModelConfig, params: nnx.State, ids: np.ndarray) -> tuple[Array, States, Float[Array, "1 V"]]:
    """The gate table, and the states and logits after the prompt `ids` `[N]`; uniform logits after an empty one."""
    padded = np.zeros(-(-max(1, len(ids)) // _PROMPT_BLOCK) * _PROMPT_BLOCK, np.int32)
    padded[: len(ids)] = ids
    return _make_reader(model)(params, padded, len(ids))


def generate_ids(
    model: ModelConfig,
    params: nnx.State,
    prompt: np.ndarray,
    config: SamplingConfig,
    seed: int,
    streams: int = 1,
    precision: DTypeLike = jnp.float32,
) -> Iterator[np.ndarray]:
    """Chunks of ids `[n, S]` that follow the prompt, `config.length` in all, each stream drawn on its own.

    The next chunk is being computed while the caller uses this one. Products round their operands to `precision`:
    many streams are faster in bfloat16 where `train --precision auto` is; a single one is not.
    """
    table, *after_prompt = read_prompt(model, params, prompt)
    params = jax.tree.map(lambda leaf: leaf.astype(precision) if leaf.ndim > 1 else leaf, params)
    mesh = make_mesh(streams)
    params, table = everywhere(mesh, (params, table))
    states, logits = by_stream(mesh, jax.tree.map(lambda x: np.repeat(x, streams, axis=0), after_prompt))
    chunk, key = make_chunk(model, _without_length(config), mesh), jax.random.key(seed)
    waiting: list[Array] = []
    for first in range(0, config.length, CHUNK):
        states, logits, ids = chunk(params, table, states, logits, key, first)
        waiting.append(ids)
        if len(waiting) > 1:
            yield np.asarray(waiting.pop(0))
    for ids in waiting:
        yield np.asarray(ids)[: config.length % CHUNK or CHUNK]


def generate(
    model: ModelConfig,
    params: nnx.State,
    vocabulary: Vocabulary,
    prompt: str = "",
    config: SamplingConfig | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Text that follows `prompt`, in pieces; both in symbols of `vocabulary`.

    Without a prompt the model starts as after a line end or, if it knows none, after its first symbol.

    Raises:
        VocabularyError: the prompt has unknown characters.
    """
    ids = vocabulary.encode(prompt or ("\n" if "\n" in vocabulary.symbols else vocabulary.symbols[0]))
    for drawn in generate_ids(model, params, ids, config or SamplingConfig(), seed):
        yield vocabulary.decode(drawn[:, 0])


def _without_length(config: SamplingConfig) -> SamplingConfig:
    """Settings that differ in the length alone share one compiled program."""
    return SamplingConfig(config.temperature, config.top_k, config.top_p)
