"""Experts that count: the probabilities that each gives to the characters of a text, from what was read before them.

After each context there are two: how often each symbol followed it, smoothed with what followed a shorter one; and what
followed when it was met last, which foretells a text that repeats itself. Contexts are a few symbols, many, the word so
far, and that with the word before it. What an expert gives to all symbols sums to 1.

P: characters that are predicted.  E: experts.  S: sets of buckets.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charlstm.evaluation import baseline
from charlstm.evaluation.baseline import DISCOUNT, contexts_with_shorter
from charlstm.evaluation.counting import PLACE, Following, Ring
from charlstm.text.vocabulary import Vocabulary

WARM_UP = 200_000  # characters at the end of the training part that the weights of experts are learned on
UNKNOWN = -1.0  # instead of a probability, where an expert has not met the context
_SHORT = (2, 3, 5, 8)  # symbols of contexts ...
_BEFORE_WORDS = 5  # ... and of those that words are smoothed with
_LONG = (16, 32)
_SURE = 0.5  # discount of long contexts and of words: what followed them once will soon follow them again
_TIMES, _DISTINCT = 9, 5  # logarithms to base 2 of c(h.) and N(h.), from which on all are in one bucket


class Experts(NamedTuple):
    """What experts make of the last `warm_up` characters of the training part and of all of a text but its first.

    `probabilities` `[P, E]` float32 are those of the characters that came, or `UNKNOWN`; the longest n-grams, column
    `n_gram`, always know. `buckets` `[P, S]` uint16, each below its one of `sizes`, are known before the character is:
    weights depend on them.
    """

    probabilities: np.ndarray
    buckets: np.ndarray
    sizes: tuple[int, ...]
    n_gram: int
    warm_up: int


def counting_experts(training_ids: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary, adaptive: bool) -> Experts:
    """Experts that count `training_ids` `[N]` and, if `adaptive`, go on counting while they read `ids` `[M]`.

    In the training part itself, too, they know only what stands before. Of long texts they read as much as n-grams do.
    """
    training_ids = np.asarray(training_ids[-baseline.MAX_TRAINING :])
    ids = np.asarray(ids[: baseline.MAX_SCORED + 1])
    warm_up = max(0, min(WARM_UP, len(training_ids) - 1))
    ring = Ring.of(training_ids, ids, len(vocabulary), adaptive, warm_up)
    P = len(ring.predicted)
    said, chosen = list[np.ndarray](), list[tuple[np.ndarray, int]]()
    longest, times, distinct = np.zeros(P, np.uint16), np.zeros(P, PLACE), np.zeros(P, PLACE)
    for number, (after, smoothed) in enumerate(_short_and_long(ring, len(vocabulary)), 1):
        said += [smoothed, _latest(after)]
        if number <= len(_SHORT):
            chosen.append(_bucket(after.times, after.distinct))
        met = after.times > 0
        longest[met], times[met], distinct[met] = number, after.times[met], after.distinct[met]
    few, size = _bucket(times, distinct, 4, 2)
    chosen.append((longest * np.uint16(size) + few, (len(_SHORT + _LONG) + 1) * size))
    smoothed = said[2 * _SHORT.index(_BEFORE_WORDS)]
    for starts in _words(ring, vocabulary):
        after = Following.of(ring.since(starts), ring)
        smoothed = after.interpolated(smoothed, _SURE)
        said += [smoothed, _latest(after)]
        chosen.append(_bucket(after.times, after.distinct))
    buckets, sizes = zip(*chosen, strict=True)
    n_gram = 2 * (len(_SHORT) - 1)
    return Experts(np.stack(said, 1), np.stack(buckets, 1), sizes, n_gram, warm_up)


def _short_and_long(ring: Ring, V: int) -> Iterator[tuple[Following, np.ndarray]]:
    """What followed contexts of more and more symbols, and its smoothed probabilities, `[P]` float32."""
    p = np.zeros(0, np.float32)
    for k, (contexts, shorter) in enumerate(contexts_with_shorter(ring, V, max(_SHORT) + 1, DISCOUNT)):
        if k in _SHORT:
            after = Following.of(contexts, ring)
            p = after.interpolated(shorter.astype(np.float32), DISCOUNT)
            yield after, p
    for k in _LONG:
        after = Following.of(ring.last(k), ring)
        p = after.interpolated(p, _SURE)
        yield after, p


def _latest(after: Following) -> np.ndarray:
    """1 where that came which came when the context was met last, else 0."""
    return np.where(after.times > 0, after.latest, np.float32(UNKNOWN)).astype(np.float32)


def _bucket(
    times: np.ndarray, distinct: np.ndarray, max_times: int = _TIMES, max_distinct: int = _DISTINCT
) -> tuple[np.ndarray, int]:
    """By the logarithms of how often a context was met and of how many symbols followed; and how many buckets."""

    def level(counts: np.ndarray, most: int) -> np.ndarray:
        return np.minimum(np.ceil(np.log2(counts + np.float32(1))), most).astype(np.uint16)

    wide = max_distinct + 1
    return level(times, max_times) * np.uint16(wide) + level(distinct, max_distinct), (max_times + 1) * wide


def _words(ring: Ring, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """For every place of `ring` where its word begins, and where the word before it does, `[L]` each.

    A symbol that is in no word is one for itself.
    """
    in_word = np.append(vocabulary.in_word, [False, False])
    inside, places = in_word[ring.symbols], np.arange(len(ring.symbols), dtype=PLACE)
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    begun = np.maximum.accumulate(np.where(begins, places, 0))
    word = np.where(inside, begun, places)
    return word, begun[np.maximum(word - 1, 0)]
