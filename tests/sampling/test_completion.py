"""Completions: those that enumeration finds, bounded work that says so, and whole characters."""

import dataclasses
import itertools
import re

import jax
import numpy as np
import pytest
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.network import CharRNN, zero_states
from charlstm.sampling.completion import Completer
from charlstm.sampling.prompt import next_symbols, read_text
from charlstm.text.vocabulary import Vocabulary

WORDS = Vocabulary.of_characters("\n abc")
LENGTH = 5  # of the strings that are enumerated


@pytest.fixture(scope="module")
def make(weights_of):
    """A function that makes random weights for a vocabulary."""

    def make(vocabulary: Vocabulary, seed: int = 0, scale: float = 2.0):
        shape = ModelConfig(
            vocabulary_size=len(vocabulary), layers=2, hidden_size=8, embedding_size=4, dropout=0.0,
            rare=vocabulary.rare,
        )  # fmt: skip
        network = CharRNN(shape, nnx.Rngs(seed))
        network.head_kernel[...] = scale * jax.random.normal(jax.random.key(seed), network.head_kernel.shape)
        return weights_of(shape, vocabulary, nnx.state(network, nnx.Param))

    return make


def enumerated(weights, prompt: str, pattern: str, ends: str) -> tuple[dict[str, float], float]:
    """The probability of every short continuation, and of the most probable string that may become a longer one."""
    vocabulary = weights.vocabulary
    network = CharRNN(weights.model, nnx.Rngs(0))
    nnx.update(network, weights.params)
    start = vocabulary.encode(prompt)
    strings = np.array(list(itertools.product(range(len(vocabulary)), repeat=LENGTH)))
    ids = np.concatenate([np.tile(start, (len(strings), 1)), strings], axis=1)
    logits, _ = network(jax.numpy.array(ids.T), zero_states(weights.model, len(ids)))
    logs = np.asarray(jax.nn.log_softmax(logits), np.float64)[len(start) - 1 :]  # [LENGTH + 1, strings, V]
    found: dict[str, float] = {}
    longest = 0.0
    end_ids = [vocabulary.symbols.index(each) for each in ends]
    for number, string in enumerate(strings):
        own = np.concatenate([[0.0], np.cumsum(logs[np.arange(LENGTH), number, string])])
        text = vocabulary.decode(string)
        for length in range(LENGTH + 1):
            if re.fullmatch(pattern, text[:length]):
                found[text[:length]] = float(np.exp(own[length]) * np.exp(logs[length, number, end_ids]).sum())
        if re.fullmatch(f"({pattern})|[ \n]*", text):
            longest = max(longest, float(np.exp(own[LENGTH])))
    return found, longest


@pytest.mark.parametrize(
    ("to", "pattern", "ends"), [("word", r"[ \n]*[abc]+", "\n "), ("line", r"[^\n]*", "\n")], ids=["word", "line"]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_most_probable_are_those_that_enumeration_finds(make, to, pattern, ends, seed):
    weights = make(WORDS, seed)
    expected, longest = enumerated(weights, "ab", pattern, ends)
    best = [each for each in sorted(expected.items(), key=lambda each: -each[1]) if each[1] > longest][:10]
    assert len(best) > 2
    found = Completer(weights).complete(read_text(weights, "ab"), to, len(best), 16_384)
    assert found.exact
    assert [each.text for each in found] == [text for text, _ in best]
    np.testing.assert_allclose([each.probability for each in found], [odds for _, odds in best], rtol=1e-4)


def test_all_continuations_together_are_certain(make):
    weights = make(WORDS, scale=4.0)
    found = Completer(weights).complete(read_text(weights, "ab"), "word", 1000, 16_384)
    assert 0.9 < sum(each.probability for each in found) < 1 + 1e-6
    assert len({each.text for each in found}) == len(found)


def test_with_less_work_the_result_says_so_and_its_probabilities_are_right(make):
    weights = make(WORDS, scale=0.5)
    completer, after = Completer(weights), read_text(weights, "ab")
    much = completer.complete(after, "word", 20, 16_384)
    little = completer.complete(after, "word", 20, 64)
    assert much.exact and not little.exact
    known = {each.text: each.probability for each in much}
    assert [each for each in little if each.text in known]
    for each in little:
        assert each.probability <= much[0].probability * (1 + 1e-6)
        if each.text in known:
            assert each.probability == pytest.approx(known[each.text], rel=1e-5)


def test_of_bytes_only_whole_characters_are_shown(make):
    weights = make(Vocabulary.of_bytes(), scale=1.0)
    found = Completer(weights).complete(read_text(weights, "é".encode().decode("latin-1")), "word", 200, 2048)
    assert len(found) == 200 and any(len(each.text) < len(each.text.encode()) for each in found)
    for each in found[:6]:
        symbols = each.text.encode().decode("latin-1")  # raises where half a character is left
        odds, before = 1.0, "é".encode().decode("latin-1")
        for symbol in symbols:
            odds *= dict(next_symbols(weights, read_text(weights, before), 256))[symbol]
            before += symbol
        following = dict(next_symbols(weights, read_text(weights, before), 256))
        odds *= sum(p for symbol, p in following.items() if symbol < "\x80" and not re.match(r"[\w']", symbol))
        assert each.probability == pytest.approx(odds, rel=1e-3)


def test_the_end_of_a_document_ends_a_word(make):
    vocabulary = Vocabulary.of_characters("ab").with_boundary("\n")
    weights = make(vocabulary)
    found = Completer(weights).complete(read_text(weights, "ab"), "word", 5, 4096)
    ends = dict(next_symbols(weights, read_text(weights, "ab"), 3))["\n"]
    assert {each.text: each.probability for each in found}[""] == pytest.approx(ends, rel=1e-5)


def test_rare_characters_and_many_of_them(make):
    vocabulary = Vocabulary("\n ab" + "".join(map(chr, range(0x4E00, 0x4E00 + 600))), rare=500)
    weights = make(vocabulary)
    found = Completer(weights).complete(read_text(weights, "ab"), "word", 1000, 512)
    odds = dict(next_symbols(weights, read_text(weights, "ab"), 604))
    of_one = {each.text: each.probability for each in found if each.text in vocabulary.symbols[4:]}
    assert len(of_one) > 100
    for text, probability in of_one.items():
        assert probability == pytest.approx(odds[text], rel=1e-4)


def test_weights_that_are_not_finite_are_one_sentence(make):
    weights = make(WORDS)
    broken = dataclasses.replace(weights, params=jax.tree.map(lambda leaf: leaf * np.nan, weights.params))
    with pytest.raises(RunError, match="not finite"):
        Completer(broken).complete(read_text(broken, "a"), "word", 3, 64)
