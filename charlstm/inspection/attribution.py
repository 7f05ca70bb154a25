"""Attribution: which earlier characters the prediction of a character rests on, in nats of its log-probability.

Two answers, for each of the last characters before it. Gradient x input is the inner product of a character's embedding
with the gradient by it, its first-order share (Shrikumar, Greenside & Kundaje 2017). Leaving out is what the
log-probability loses if the text is read without the character, and counts all that this changes (Li, Monroe & Jurafsky
2016). Above 0 a character speaks for the prediction, below 0 against it.

T: characters that are looked at.  B: texts that are read at once.  V: vocabulary.  E: embedding size.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, RunError, setting
from charlstm.files import atomic_write
from charlstm.inspection.painting import Tinted, spell
from charlstm.inspection.passage import open_passage
from charlstm.model.loss import cross_entropy
from charlstm.model.network import States
from charlstm.model.parameters import abstract_model
from charlstm.options import InspectOptions
from charlstm.runs.weights import Weights
from charlstm.sampling.prompt import read_prompt

_LENGTH = 1 << 20  # characters of a text
_AT_ONCE = 64  # texts, each without one of the characters


@dataclass(frozen=True)
class Attribution:
    """What the prediction of `target` rests on, of the text's characters up to number `at`, from 1.

    `is_next` says whether the target comes next in the text, or is the likeliest one where it ends. `log_probability`
    and the numbers of the last characters are in nats; NaN where a text without the character would be empty.
    """

    at: int
    target: str
    is_next: bool
    log_probability: float
    gradient_x_input: list[Tinted]
    left_out: list[Tinted]
    where: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        pairs = zip(self.gradient_x_input, self.left_out, strict=True)
        return {
            "at": self.at,
            "text": self.where,
            "target": self.target,
            "is_next": self.is_next,
            "log_probability": self.log_probability,
            "characters": [
                {"text": one.text, "gradient_x_input": one.value, "left_out": other.value} for one, other in pairs
            ],
        }


def attribute(weights: Weights, options: InspectOptions) -> list[Attribution]:
    """What predictions rest on: that of the end of a text or those at the places that `options` name.

    Raises:
        ConfigError: there is no such place, or no text.
        CorpusError: the text cannot be found or read.
        RunError: the run's own text has changed since, or the weights are not finite.
        VocabularyError: a character is unknown, and is not to be skipped.
    """
    weights = weights.member(0)
    passage, vocabulary = open_passage(weights, options, _LENGTH), weights.vocabulary
    [ids] = passage.pieces
    first = int(ids[0] == vocabulary.boundary)  # the boundary before a text is not in it
    length, where = len(ids) - first, replace(passage, pieces=[ids[first:]]).where
    places = [length] if options.at is None else [options.at] if isinstance(options.at, int) else options.at
    for place in places:
        if not 1 <= place <= length:
            raise ConfigError(
                f"{setting('at')} is {place:,}, but there are {where}", f"name a place from 1 to {length:,}"
            )
    return [_attribute(weights, ids, place + first, options, place, where) for place in places]


def save_attributions(found: list[Attribution], path: Path) -> None:
    """Save arrays, as NumPy's `load` reads them: `0.text`, `0.gradient_x_input`, `0.left_out` and so on.

    Raises:
        StorageError: it cannot be written.
    """
    arrays: dict[str, Any] = {"at": [each.at for each in found], "target": [each.target for each in found]}
    arrays["log_probability"] = [each.log_probability for each in found]
    for number, each in enumerate(found):
        arrays[f"{number}.text"] = [one.text for one in each.left_out]
        arrays[f"{number}.gradient_x_input"] = [one.value for one in each.gradient_x_input]
        arrays[f"{number}.left_out"] = [one.value for one in each.left_out]
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def _attribute(
    weights: Weights, text: np.ndarray, end: int, options: InspectOptions, place: int, where: str
) -> Attribution:
    """The attribution of what comes after `text[:end]`."""
    model, params, vocabulary = weights.model.for_inference(), jax.device_put(weights.params), weights.vocabulary
    start = max(0, end - options.last)
    states, logits = read_prompt(model, params, text[:start])
    ids, count = np.zeros(options.last, np.int32), end - start  # padded, so that programs are compiled once
    ids[:count] = text[start:end]
    read = _make_reader(model)
    target = int(text[end] if end < len(text) else np.argmax(read(params, ids[:, None], count, states)))
    value, shares = _make_gradient(model)(params, ids, count, states, target)
    if not np.isfinite(value):
        raise RunError("the model predicts nothing: its weights are not finite", "train it again")
    without = np.full(count, np.nan)
    if count == 1 and start:
        without[0] = jax.nn.log_softmax(logits[0])[target]
    for first in range(0, count if count > 1 else 0, _AT_ONCE):
        places = np.minimum(np.arange(first, first + _AT_ONCE), count - 1)  # the last one again, where there are fewer
        texts = np.stack([np.delete(ids, each) for each in places], axis=1)
        without[places] = read(params, texts, count - 1, states)[:, target]
        if options.on_progress:
            options.on_progress(f"leaving characters out before {place:,}", min(first + _AT_ONCE, count), count)
    [symbol] = spell(vocabulary, np.array([target]), np.zeros(1))
    both = np.asarray(shares, np.float64)[:count], float(value) - without
    gradient, left_out = (spell(vocabulary, text[start:end], each) for each in both)
    return Attribution(place, symbol.text, end < len(text), float(value), gradient, left_out, where)


@lru_cache(maxsize=4)
def _make_gradient(model: ModelConfig):
    """Compile-ready `explain(params, ids [T], count, states, target) -> (log-probability, gradient x input [T])`.

    The first `count` ids count.
    """
    definition, _ = abstract_model(model)

    @jax.jit
    def explain(params: nnx.State, ids: Integer[Array, " T"], count: Array, states: States, target: Array):
        embedding = nnx.merge(definition, params).embedding[...]
        rows = embedding[jnp.minimum(ids, len(embedding) - 1)]

        def log_probability(rows: Float[Array, "T E"]) -> Array:
            network = nnx.merge(definition, params)
            network.embedding = nnx.Param(rows)  # each character has a row of its own
            logits, _ = network(jnp.arange(len(ids))[:, None], states)
            return -cross_entropy(logits[count - 1][None], target[None, None], model.rare)[0, 0]

        value, gradient = jax.value_and_grad(log_probability)(rows)
        return value, (gradient * rows).sum(-1)

    return explain


@lru_cache(maxsize=4)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, texts [T, B], count, states) -> log-probabilities [B, V]` after `count` of each."""
    definition, _ = abstract_model(model)

    @jax.jit
    def read(params: nnx.State, texts: Integer[Array, "T B"], count: Array, states: States) -> Float[Array, "B V"]:
        network = nnx.merge(definition, params)
        states = jax.tree.map(lambda leaf: jnp.repeat(leaf, texts.shape[1], axis=0), states)
        states = jax.lax.fori_loop(0, count - 1, lambda n, states: network.step(texts[n], states, None)[1], states)
        return jax.nn.log_softmax(network.step(texts[count - 1], states, None)[0])

    return read
