"""Counting n-grams: texts whose tables are known, what is kept of long ones, and how far counts are trusted."""

import tracemalloc
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import MemoryLimitError
from charlstm.model.counts import (
    CONTEXT,
    MAX_TRUST,
    RECENT,
    Counts,
    checked_counts,
    distributions,
    lengthened,
    look_up,
    marked,
)
from charlstm.model.parameters import initial_parameters
from charlstm.runs.weights import load_weights
from charlstm.text.corpus import open_corpus
from charlstm.text.documents import Documents
from charlstm.text.vocabulary import Vocabulary
from charlstm.training import ngrams
from charlstm.training.ngrams import count, counts_beside

ONCE = int((1 - 0.91) * 65_536)  # the share of what came once after a context that came once


def assert_sound(counts: Counts, rows: int) -> None:
    """What is counted can be loaded."""
    shape = ModelConfig(vocabulary_size=rows, layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    assert checked_counts(counts._asdict(), shape, "here") == counts


def assert_same(one: Counts, other: Counts) -> None:
    """In every bit."""
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def no_words(rows: int) -> np.ndarray:
    """Symbols of which no words are made."""
    return np.zeros(rows, bool)


def after(counts: Counts, recent: np.ndarray) -> np.ndarray:
    """What n-grams say after the `recent` ids + 1, `[N, R]`."""
    counts = jax.tree.map(jnp.asarray, counts)
    return np.asarray(jax.jit(distributions)(counts, jax.jit(look_up)(counts, recent))[0])


def key_of(context: tuple[int, ...], is_word: bool = False) -> int:
    """The hash of a context of ids, or of the word so far."""
    hashes = np.zeros(1, np.uint32)
    for symbol in reversed(context):
        hashes = lengthened(hashes, np.array([symbol + 1]))
    return int((marked(hashes) if is_word else hashes)[0])


def totals_of(text: list[int], rows: int) -> Counter[tuple[int, ...]]:
    """How much was counted after each context; `rows` is what stands before the beginning."""
    padded = [rows] * (CONTEXT + 1) + text
    seen = [
        {tuple(padded[place - m : place + 1]) for place in range(CONTEXT + 1, len(padded))} for m in range(CONTEXT + 1)
    ]
    totals = Counter(tuple(padded[place - CONTEXT : place]) for place in range(CONTEXT + 1, len(padded)))
    for m in range(1, CONTEXT):
        totals.update(gram[1:-1] for gram in seen[m + 1])
    return totals


@pytest.mark.parametrize("ids", [[0, 1], [1, 0]])
def test_a_text_of_two_characters(ids):
    """Each stands after as many contexts as there are lengths: those that end with the beginning or with the other."""
    counts = count(np.array(ids, np.uint8), no_words(2))
    before = [(2,) * m for m in range(1, CONTEXT + 1)] + [(2,) * m + (ids[0],) for m in range(CONTEXT)]
    words = {key_of((symbol,), True) for symbol in (2, ids[0])}
    assert counts.keys.tolist() == sorted({*map(key_of, before), *words})
    of_words = np.isin(np.repeat(counts.keys, np.diff(counts.starts)), [*words])
    assert set(counts.shares[~of_words].tolist()) == {ONCE} and set(counts.shares[of_words].tolist()) == {32_768}
    assert len(counts.symbols) == 2 * CONTEXT + 2
    np.testing.assert_allclose(counts.unigram, 0.5)
    assert_sound(counts, 2)


def test_a_text_of_one_character_again_and_again():
    """Lefts of it are the beginning and itself: p = (2 - 0.91) / 2 + 0.91 / 2 / 2. The longest context is sure."""
    counts = count(np.zeros(200, np.uint8), no_words(2))
    np.testing.assert_allclose(counts.unigram, [0.7725, 0.2275], rtol=1e-6)
    recent = np.tril(np.ones((CONTEXT + 1, RECENT), np.int32), -1)[:, ::-1]
    p = after(counts, recent)[:, 0]
    assert (np.diff(p) > 0).all() and p[-1] > 0.999
    assert_sound(counts, 2)


def test_totals_are_what_pruning_goes_by(monkeypatch, numbers):
    """Contexts are kept that are more frequent than all that are not, and at most so many; ties are left out."""
    text = (numbers.zipf(1.5, 400) % 9).tolist()
    totals = {key_of(context): total for context, total in totals_of(text, 9).items()}
    totals |= {key_of((symbol,), True): total for symbol, total in Counter([9, *text[:-1]]).items()}
    assert set(count(np.array(text), no_words(9)).keys.tolist()) == set(totals)
    for limit in (1, 5, 20, 100):
        monkeypatch.setattr(ngrams, "_MAX_CONTEXTS", limit)
        counts = count(np.array(text), no_words(9))
        kept = set(counts.keys.tolist())
        least = sorted(totals.values())[-limit]
        assert kept == {key for key, total in totals.items() if total > min(least, max(totals.values()) - 1)}
        assert_sound(counts, 9)


def test_where_all_contexts_are_as_frequent_some_are_left(monkeypatch):
    monkeypatch.setattr(ngrams, "_MAX_CONTEXTS", 5)
    assert_sound(count(np.arange(30), no_words(30)), 30)


def test_of_a_long_text_the_end_is_counted(monkeypatch, numbers):
    ids = numbers.integers(0, 5, 300, np.uint8)
    end = count(ids[-70:], no_words(5))
    monkeypatch.setattr(ngrams, "MAX_COUNTED", 70)
    assert_same(count(ids, no_words(5)), end)


def test_symbols_that_are_rare_are_one(numbers):
    ids = numbers.integers(0, 70_000, 300)
    assert_same(count(ids, no_words(60_000)), count(np.minimum(ids, 59_999), no_words(60_000)))
    assert count(ids, no_words(70_000)).symbols.dtype == np.uint32
    assert_sound(count(ids, no_words(70_000)), 70_000)


def test_documents_begin_after_a_boundary(tmp_path):
    path = tmp_path / "songs.txt"
    path.write_text("".join(f"x{n:03}abx{n}\n\n" for n in range(100)), "utf-8")
    corpus = open_corpus([path], documents=Documents("\n\n"))
    boundary = corpus.vocabulary.boundary
    assert boundary is not None
    counts = count(corpus.ids, corpus.vocabulary.in_word)
    recent = np.append(np.zeros(RECENT - 1, np.int32), np.int32(boundary + 1))[None]
    first = int(corpus.vocabulary.encode("x")[0])
    assert after(counts, recent)[0, first] > 0.85


def test_memory_is_proportional_to_the_text(numbers):
    """Of words, as of a real text; the docstring says up to 300 bytes a character."""
    words = numbers.integers(1, 27, (2000, 6))
    words[numbers.random(words.shape) < 0.2] = 0
    ids = words[numbers.zipf(1.4, 25_000) % 2000].ravel().astype(np.uint8)
    tracemalloc.start()
    count(ids, np.arange(27) > 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 20 * len(ids) < peak < 300 * len(ids)


def test_a_network_that_is_right_where_counts_are_not_trusts_them_least_and_a_wrong_one_most(weights_of):
    """The last part, which is not counted, is "a" alone, which the network says always and counts do not know; the text
    before it is "bcde" again and again, which counts know."""
    vocabulary = Vocabulary("abcde")
    shape = ModelConfig(vocabulary_size=5, layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    params = initial_parameters(shape, 0)
    ids = np.append(np.tile([1, 2, 3, 4], 245), np.zeros(20, np.int64)).astype(np.uint8)
    assert counts_beside(weights_of(shape, vocabulary, params), ids[:-20]).trust == np.float32(MAX_TRUST)
    params["head_bias"] = params["head_bias"].replace(jnp.array([20.0, 0, 0, 0, 0]))
    assert counts_beside(weights_of(shape, vocabulary, params), ids).trust == 1


def test_what_says_how_far_counts_are_trusted_is_not_counted(trained_run, corpus):
    weights, (training, _) = load_weights(trained_run.weights_path), corpus.split(0.1)
    held_out = len(training) // 50
    assert held_out >= 2
    found = counts_beside(weights, training)
    assert_same(found, count(training[:-held_out], weights.vocabulary.in_word)._replace(trust=found.trust))


def test_what_does_not_fit_into_memory_is_refused_before_it_is_tried(trained_run, corpus, monkeypatch):
    monkeypatch.setattr("charlstm.runtime.memory.available_memory", lambda: 300 * 600)
    weights = load_weights(trained_run.weights_path)
    assert counts_beside(weights, corpus.split(0.1)[0][:600])
    with pytest.raises(MemoryLimitError, match="counting the n-grams"):
        counts_beside(weights, corpus.split(0.1)[0][:601])
