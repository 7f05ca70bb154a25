"""Novelty: against brute force, whatever the blocks and however bad the hashes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.evaluation import novelty as module
from charlstm.evaluation.novelty import NGRAM, novelty
from charlstm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of_characters("abc")


def brute(text: str, other: str) -> tuple[int, float]:
    """Length of the longest common substring, and the share of 20-grams that are new."""
    lengths = range(len(text), -1, -1)
    longest = next(n for n in lengths if any(text[i : i + n] in other for i in range(len(text) - n + 1)))
    grams = [text[i : i + NGRAM] for i in range(len(text) - NGRAM + 1)]
    return longest, np.mean([gram not in other for gram in grams]) if grams else math.nan


@st.composite
def texts(draw):
    """Two texts that share long pieces, of few characters and with repetitions."""
    letters = st.text("ab", min_size=1, max_size=6)
    pieces = draw(st.lists(st.tuples(letters, st.integers(1, 9)).map(lambda p: p[0] * p[1]), min_size=1, max_size=4))
    text, other = ("".join(draw(st.lists(st.sampled_from([*pieces, "c", "ab", ""]), max_size=8))) for _ in range(2))
    return text, other


@settings(max_examples=300)
@given(texts(), st.sampled_from([1, 7, 32, 1000]))
def test_it_is_what_brute_force_finds(both, block):
    text, other = both
    found = novelty(VOCABULARY.encode(text), VOCABULARY.encode(other), VOCABULARY, block)
    assert (found.longest, found.new_20_grams) == pytest.approx(brute(text, other), nan_ok=True)
    assert len(found.span) == found.longest and found.span in text and found.span in other


@settings(max_examples=60)
@given(texts(), st.sampled_from([7, 1000]), st.sampled_from([(0, 0), (1, 1), (2, 1)]))
def test_it_is_exact_even_if_hashes_tell_nothing_apart(both, block, bad):
    text, other = both
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(module, "_B", bad[0])
        changed.setattr(module, "_SPREAD", bad[1])
        found = novelty(VOCABULARY.encode(text), VOCABULARY.encode(other), VOCABULARY, block)
    assert (found.longest, found.new_20_grams) == pytest.approx(brute(text, other), nan_ok=True)


@given(st.lists(st.integers(0, 255), max_size=70), st.integers(1, 40))
def test_the_hash_of_each_ngram_is_that_of_it_alone(ids, n):
    ids = np.array(ids, np.uint8)
    expected = []
    for start in range(len(ids) - n + 1):
        total = 0
        for symbol in ids[start : start + n].tolist():
            total = (total * module._B + (symbol + 1) * module._SPREAD) % 2**64
        expected.append(total)
    assert module._hashes(ids, n).tolist() == expected


def test_a_span_that_is_longer_by_one_is_found(numbers):
    copied, fillers = numbers.integers(0, 128, 40), numbers.integers(128, 256, (30, 100))
    for last in (30, 31, 32):
        pieces = [np.append(copied[:n], fillers[n - 10]) for n in range(10, last + 1)]
        other = np.concatenate(pieces).astype(np.uint8)
        for block in (100, 300):
            assert novelty(copied.astype(np.uint8), other, Vocabulary.of_bytes(), block).longest == last


@pytest.mark.parametrize("size", [2**17 + 100, 2**19])
def test_a_copy_is_found_across_blocks(numbers, size):
    vocabulary = Vocabulary.of_bytes()
    other = numbers.integers(0, 256, size).astype(np.uint8)
    copied = slice(2**17 - 3000, 2**17 + 50)
    ids = np.concatenate([numbers.integers(0, 256, 500).astype(np.uint8), other[copied], other[:30]])
    found = novelty(ids, other, vocabulary)
    assert found.longest == 3050 and vocabulary.symbols_of(found.span) == vocabulary.decode(other[copied])
    assert found.new_20_grams == pytest.approx((len(ids) - 19 - (3050 - 19) - 11) / (len(ids) - 19))
