"""Drawing text: filters over logits, the jitted chunk of steps, and `generate`, a generator of text.

V: vocabulary.  S: streams drawn side by side.
"""

from collections.abc import Iterator
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from charlstm.config import ModelConfig, SamplingConfig
from charlstm.model import States, define, zero_states
from charlstm.vocabulary import Vocabulary

_CHUNK = 128  # characters to a dispatch: 1 ms of overhead is nothing beside it, and text still seems to flow
_PROMPT_BLOCK = 256  # prompts are padded to a multiple of this, so that few lengths have to be compiled


def filter_logits(logits: Float[Array, "S V"], config: SamplingConfig) -> Float[Array, "S V"]:
    """Scale by the temperature, keep the `top_k` likeliest and of these the smallest set that holds `top_p`.

    Everything else becomes -inf; the likeliest character always stays. `top_p` is nucleus sampling (Holtzman et al.
    2020).
    """
    logits = logits / config.temperature
    if config.top_k and config.top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, config.top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if config.top_p < 1:
        descending = jnp.sort(logits, axis=-1, descending=True)
        before = jnp.cumsum(jax.nn.softmax(descending, axis=-1), axis=-1) - jax.nn.softmax(descending, axis=-1)
        least = jnp.where(before < config.top_p, descending, jnp.inf).min(-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def draw(key: Array, logits: Float[Array, "S V"], config: SamplingConfig) -> Array:
    """The id of the next character of each stream, int32 `[S]`; at temperature 0 the likeliest."""
    if config.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return jax.random.categorical(key, filter_logits(logits, config), axis=-1).astype(jnp.int32)


@lru_cache(maxsize=8)
def _make_chunk(model: ModelConfig, config: SamplingConfig):
    """Compile-ready `chunk(params, carry, first) -> (carry, ids [_CHUNK, S])`; the carry is (states, logits, key)."""
    definition, _ = define(model)

    @jax.jit
    def chunk(params, states: States, logits: Array, key: Array, first: Array):
        network = nnx.merge(definition, params)

        def step(carry, number):
            states, logits = carry
            ids = draw(jax.random.fold_in(key, number), logits, config)
            logits, states = network(ids[None], states)
            return (states, logits[0]), ids

        (states, logits), ids = jax.lax.scan(step, (states, logits), first + jnp.arange(_CHUNK))
        return states, logits, ids

    return chunk


@lru_cache(maxsize=8)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, ids [N], count) -> (states, logits)` behind the first `count` ids, one stream."""
    definition, _ = define(model)

    @jax.jit
    def read(params, ids: Array, count: Array):
        network = nnx.merge(definition, params)

        def step(place, carry):
            states, _ = carry
            logits, states = network(ids[place][None, None], states)
            return states, logits[0]

        return jax.lax.fori_loop(0, count, step, (zero_states(model, 1), jnp.zeros((1, model.vocabulary_size))))

    return read


def read_prompt(model: ModelConfig, params: nnx.State, ids: np.ndarray) -> tuple[States, Float[Array, "1 V"]]:
    """The states and logits behind the prompt `ids` `[N]`, in one scan; uniform logits behind an empty one."""
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
) -> Iterator[np.ndarray]:
    """Chunks of ids `[n, S]` that follow the prompt, `config.length` in all, each stream drawn on its own.

    The next chunk is being computed while the caller uses this one.
    """
    states, logits = read_prompt(model, params, prompt)
    states, logits = jax.tree.map(lambda x: jnp.repeat(x, streams, axis=0), (states, logits))
    chunk, key = _make_chunk(model, _without_length(config)), jax.random.key(seed)
    waiting: list[Array] = []
    for first in range(0, config.length, _CHUNK):
        states, logits, ids = chunk(params, states, logits, key, first)
        waiting.append(ids)
        if len(waiting) > 1:
            yield np.asarray(waiting.pop(0))
    for ids in waiting:
        yield np.asarray(ids)[: config.length % _CHUNK or _CHUNK]


def generate(
    model: ModelConfig,
    params: nnx.State,
    vocabulary: Vocabulary,
    prompt: str = "",
    config: SamplingConfig | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Symbols of `vocabulary` that follow the symbols `prompt`, in pieces.

    Behind an empty prompt the model starts as behind a line end, or, if it knows none, behind its first symbol.

    Raises:
        VocabularyError: the prompt has unknown characters.
    """
    ids = vocabulary.encode(prompt or ("\n" if "\n" in vocabulary.symbols else vocabulary.symbols[0]))
    for drawn in generate_ids(model, params, ids, config or SamplingConfig(), seed):
        yield vocabulary.decode(drawn[:, 0])


def _without_length(config: SamplingConfig) -> SamplingConfig:
    """Settings that differ in the length alone share one compiled program."""
    return SamplingConfig(config.temperature, config.top_k, config.top_p)
