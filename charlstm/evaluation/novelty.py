"""How much of a text is new: what of it stands, character for character, in another.

The n-grams of the text are hashed, and the other text is read beside them, in blocks. A polynomial hash comes by
doubling: with B odd and all modulo 2^64,

    hash_{m+n}(i) = hash_m(i) B^n + hash_n(i + m)

so that all n-grams of a block cost log n passes (Karp & Rabin 1987). A table of the leading bits of each hash leaves
few of them, and what has an equal hash is compared character by character, so that what is said is exact.

M: characters of the text.  N: characters of the other.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from charlstm.score import Novelty
from charlstm.text.vocabulary import Vocabulary

NGRAM = 20
_BLOCK = 2**17  # characters of the other text at a time: its hashes stay in the cache of a processor
_B, _SPREAD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # odd; the latter carries each character into the leading bits
_MAX_TABLE = 2**26  # the next power of 2 is taken: 128 MiB


def novelty(ids: np.ndarray, other: np.ndarray, vocabulary: Vocabulary, block: int = _BLOCK) -> Novelty:
    """What of a text `ids` `[M]` stands in `other` `[N]`, of which memory holds a block at a time."""
    grams = lru_cache(maxsize=2)(lambda n: _Grams(ids, n))
    known = np.zeros(max(0, len(ids) - NGRAM + 1), bool)  # of each 20-gram of the text: whether it stands there
    place = length = 0
    for start in range(0, len(other), block):
        longest = True  # whether there may be a longer span than before
        if len(known):
            window = np.asarray(other[start : start + block + NGRAM - 1])
            found, ranks = grams(NGRAM).find(window)
            grams(NGRAM).mark(window, found, ranks, known)
            longest = length + 1 < NGRAM or _may_be_longer(found, len(window) - NGRAM + 1, length + 2 - NGRAM)
        if longest:
            place, length = _extended(ids, other, start, block, place, length, grams)
    span = vocabulary.text_of(vocabulary.decode(np.asarray(ids[place : place + length])))
    return Novelty(length, span, float(1 - known.mean()) if len(known) else math.nan, vocabulary.unit)


def _may_be_longer(found: np.ndarray, places: int, needed: int) -> bool:
    """Whether among so many places, `needed` in a row are `found`; those at the end may go on behind it.

    A span of n characters is n - 19 20-grams in a row.
    """
    if not len(found):
        return False
    edges = np.flatnonzero(np.diff(found) > 1)
    runs = np.diff(np.concatenate([[-1], edges, [len(found) - 1]]))
    return found[-1] == places - 1 or runs.max() >= needed


class _Grams:
    """All n-grams of a text, to be found in other texts."""

    def __init__(self, ids: np.ndarray, n: int) -> None:
        self._ids, self.n = ids, n
        hashes = _hashes(ids, n)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        bits = min(_MAX_TABLE, 16 * len(hashes)).bit_length()
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[self._leading(hashes)] = True
        self._all_known = np.zeros(len(hashes), bool)

    def _leading(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> self._shift).view(np.int64)

    def find(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where in `window` n-grams begin that may be of the text, and the first of those in order that it may be."""
        hashes = _hashes(window, self.n)
        places = np.flatnonzero(self._table[self._leading(hashes)])
        hashes = hashes[places]
        ranks = np.searchsorted(self._hashes, hashes)
        equal = self._hashes[np.minimum(ranks, len(self._hashes) - 1)] == hashes
        return places[equal], ranks[equal]

    def mark(self, window: np.ndarray, places: np.ndarray, ranks: np.ndarray, known: np.ndarray) -> None:
        """Set `known` for those n-grams of the text that do stand at `places`."""
        left = ~self._all_known[ranks]
        for place, rank in zip(places[left].tolist(), ranks[left].tolist(), strict=True):
            if not self._all_known[rank]:
                own = self._equal_hashes(rank)
                known[own[self._are_at(own, window, place)]] = True
                self._all_known[rank] = known[own].all()

    def first(self, window: np.ndarray) -> tuple[int, int] | None:
        """The first place in `window` of an n-gram of the text, and its place there; None if there is none."""
        if len(window) < self.n or not len(self._hashes):
            return None
        for place, rank in zip(*map(np.ndarray.tolist, self.find(window)), strict=True):
            for own in self._equal_hashes(rank).tolist():
                if np.array_equal(self._ids[own : own + self.n], window[place : place + self.n]):
                    return place, own
        return None

    def _equal_hashes(self, rank: int) -> np.ndarray:
        return self._order[rank : np.searchsorted(self._hashes, self._hashes[rank], side="right")]

    def _are_at(self, own: np.ndarray, window: np.ndarray, place: int) -> np.ndarray:
        return (self._ids[own[:, None] + np.arange(self.n)] == window[place : place + self.n]).all(1)


def _hashes(ids: np.ndarray, n: int) -> np.ndarray:
    """The hash of each n-gram of `ids`, uint64 `[len(ids) - n + 1]`."""
    if len(ids) < n:
        return np.zeros(0, np.uint64)
    power, length = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(_SPREAD), 1  # of 1, 2, 4, ... characters
    done, size = None, 0  # of those of n's binary digits that were met
    while True:
        factor = np.uint64(pow(_B, length, 2**64))
        if n & length:
            done = power if done is None else done[: len(power) - size] * factor + power[size:]
            size += length
        if 2 * length > n:
            assert done is not None
            return done[: len(ids) - n + 1]
        power, length = power[:-length] * factor + power[length:], 2 * length


def _extended(
    ids: np.ndarray,
    other: np.ndarray,
    start: int,
    block: int,
    place: int,
    length: int,
    grams: Callable[[int], _Grams],
) -> tuple[int, int]:
    """Place in the text and length of a longest span: `length` at `place`, or one that begins in this block."""

    def longer(n: int) -> bool:
        """Whether a span of `n` characters begins in this block; then it is the longest, as far as it goes on."""
        nonlocal place, length
        if n > len(ids) or not (hit := grams(n).first(np.asarray(other[start : start + block + n - 1]))):
            return False
        place, length = hit[1], n + _common(ids[hit[1] + n :], other[start + hit[0] + n :])
        return True

    step = 1
    while longer(length + step):
        step *= 2
    too_long = length + step
    while too_long - length > 1:
        middle = (length + too_long) // 2
        too_long = too_long if longer(middle) else middle
    return place, length


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """How many characters two texts begin with that are the same."""
    length = min(len(one), len(other))
    for start in range(0, length, _BLOCK):
        end = min(start + _BLOCK, length)
        different = np.flatnonzero(one[start:end] != other[start:end])
        if len(different):
            return start + int(different[0])
    return length
