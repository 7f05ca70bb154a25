"""Kneser-Ney by array operations against Kneser-Ney by dictionaries, one character at a time."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.baseline import baselines, kneser_ney
from charlstm.vocabulary import Vocabulary


class Counting:
    """Interpolated Kneser-Ney as in the textbook: dictionaries, a loop, and no clever idea."""

    def __init__(self, size: int, order: int, discount: float) -> None:
        self.size, self.order, self.discount = size, order, discount
        self.counts = [defaultdict(lambda: defaultdict(int)) for _ in range(order + 1)]  # [n][context][symbol]
        self.text: list[int] = []

    def append(self, symbol: int) -> None:
        self.text.append(symbol)
        for n in range(self.order, 0, -1):
            if len(self.text) < n:
                continue
            gram = tuple(self.text[-n:])
            if n < self.order and not self._is_new_behind(gram):
                continue
            self.counts[n][gram[:-1]][gram[-1]] += 1

    def _is_new_behind(self, gram: tuple[int, ...]) -> bool:
        """Whether this occurrence of `gram` is the first behind the character before it."""
        longer = tuple(self.text[-len(gram) - 1 :])
        if len(longer) <= len(gram):
            return True  # the beginning of the text counts as a character of its own
        grams = zip(*(self.text[k:] for k in range(len(longer))), strict=False)
        return sum(each == longer for each in grams) == 1

    def probability(self, symbol: int) -> float:
        p = 1 / self.size
        for n in range(1, self.order + 1):
            if len(self.text) < n - 1:
                break
            after = self.counts[n][tuple(self.text[len(self.text) - n + 1 :])]
            total = sum(after.values())
            if total:
                p = (
                    max(after[symbol] - self.discount, 0) + self.discount * sum(v > 0 for v in after.values()) * p
                ) / total
        return p


@given(
    st.integers(1, 4).flatmap(
        lambda top: st.tuples(st.lists(st.integers(0, top), min_size=2, max_size=40), st.just(top + 1))
    ),
    st.integers(2, 12),
    st.integers(1, 4),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_arrays_count_as_dictionaries_do(drawn, scored, order, adaptive):
    symbols, size = drawn
    scored = min(scored, len(symbols))
    training, rest = symbols[: len(symbols) - scored], symbols[len(symbols) - scored :]
    model = Counting(size, order, 0.75)
    for symbol in training:
        model.append(symbol)
    expected = []
    model.append(rest[0]) if adaptive else model.text.append(rest[0])
    for symbol in rest[1:]:
        expected.append(-math.log(model.probability(symbol)))
        model.append(symbol) if adaptive else model.text.append(symbol)
    found = kneser_ney(np.array(training, np.uint8), np.array(rest, np.uint8), size, order, 0.75, adaptive)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=20, deadline=None)
def test_probabilities_of_all_characters_sum_to_one(seed, adaptive):
    random = np.random.default_rng(seed)
    training, context = random.integers(0, 5, 60).astype(np.uint8), random.integers(0, 5, 8)
    each = [kneser_ney(training, np.append(context, w).astype(np.uint8), 5, adaptive=adaptive)[-1] for w in range(5)]
    assert math.isclose(np.exp(-np.array(each)).sum(), 1, rel_tol=1e-9)


def test_guessing_costs_the_logarithm_of_the_vocabulary(numbers):
    vocabulary = Vocabulary.of_characters("abcd")
    ids = numbers.integers(0, 4, 500).astype(np.uint8)
    scores = baselines(ids[:400], ids[400:], vocabulary)
    assert math.isclose(scores["uniform"].loss, math.log(4))
    assert all(score.characters == 99 for score in scores.values())
    assert list(scores) == ["6-gram, adaptive", "6-gram", "xz", "unigram", "uniform"]


def test_a_source_with_memory_of_one_is_scored_near_its_entropy_rate(numbers):
    p = 0.9  # stay, or change to one of two others
    rate = -(p * math.log(p) + (1 - p) * math.log((1 - p) / 2))
    moves = np.where(numbers.random(40_000) < p, 0, numbers.integers(1, 3, 40_000))
    ids = (np.cumsum(moves) % 3).astype(np.uint8)
    loss = kneser_ney(ids[:30_000], ids[30_000:], 3, order=3).mean()
    assert loss == pytest.approx(rate, abs=0.03)


def test_the_order_of_the_text_matters_only_to_the_adaptive_score(numbers):
    training = numbers.integers(0, 20, 1000).astype(np.uint8)
    phrase = numbers.integers(0, 20, 50).astype(np.uint8)
    ids = np.tile(phrase, 6)
    static, adaptive = (kneser_ney(training, ids, 20, adaptive=flag) for flag in (False, True))
    assert adaptive[100:].mean() < 0.5 * static[100:].mean()
