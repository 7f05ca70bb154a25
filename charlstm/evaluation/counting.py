"""What was read before, after contexts of every length: counted by sorting, without a loop over characters.

Texts are read as a ring of places. "How many ... so far" is a running sum within a group of equal contexts, so places
are sorted by their contexts; one more symbol to the left is one more pass of a radix sort. Time and memory are
proportional to the text.

L: places of the ring.  P: places whose characters are predicted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

PLACE = np.int32  # enough for places, and so for counts, of rings of two billion symbols
_BASE = 0x9E3779B97F4A7C15  # of the hashes, odd: 2^64 divided by the golden ratio


@dataclass(frozen=True, eq=False)
class Ring:
    """The training part and the text to score, as a ring.

    Each begins with a symbol of its own, `V` or `V + 1`: contexts that hold one were never seen before, and none goes
    unnoticed from the end of a part to the beginning of another. `learned` `[L]` is whether the symbol at a place may
    be counted once it is read; `predicted` `[P]` are the places of the characters that are predicted.
    """

    symbols: np.ndarray
    learned: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, training_ids: np.ndarray, ids: np.ndarray, V: int, adaptive: bool, warm_up: int = 0) -> "Ring":
        """Predicted are the last `warm_up` characters of `training_ids` `[N]`, and all of `ids` `[M]` but the first.

        Learned are those of `training_ids` and, if `adaptive`, of `ids`: always before what is predicted.
        """
        N, warm_up = len(training_ids), max(0, min(warm_up, len(training_ids) - 1))
        parts, smallest = [[V], training_ids, [V + 1], ids], np.min_scalar_type(V + 1)
        symbols = np.concatenate(parts, dtype=smallest, casting="unsafe")
        learned = symbols < V
        if not adaptive:
            learned[N + 1 :] = False
        return cls(symbols, learned, np.r_[N + 1 - warm_up : N + 1, N + 3 : len(symbols)])

    @cached_property
    def _hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums S(i) of x(j) b^j over j <= i, with x random for each symbol, and b^-i: uint64 `[L]`, modulo 2^64."""
        numbers, places = np.random.default_rng(0), len(self.symbols)
        x = numbers.integers(0, 2**64 - 1, int(self.symbols.max()) + 1, np.uint64)

        def powers(base: int) -> np.ndarray:
            factors = np.full(places, base, np.uint64)
            factors[0] = 1
            return np.multiply.accumulate(factors, out=factors)

        return np.cumsum(x[self.symbols] * powers(_BASE)), powers(pow(_BASE, -1, 2**64))

    def since(self, starts: np.ndarray) -> "Sorted":
        """Places sorted by the symbols from `starts` `[L]` up to them, both included: by their 64-bit hashes."""
        sums, inverse = self._hashes
        before = np.where(starts > 0, sums[np.maximum(starts, 1) - 1], np.uint64(0))
        keys = (sums - before) * inverse
        places = np.argsort(keys, stable=True).astype(PLACE)
        keys = keys[places]
        return Sorted.of_groups(0, places, keys[1:] != keys[:-1])

    def last(self, k: int) -> "Sorted":
        """Places sorted by the k symbols that end there."""
        return self.since(np.arange(len(self.symbols), dtype=PLACE) - (k - 1))


@dataclass(frozen=True, eq=False)
class Sorted:
    """The places of a ring sorted by the k symbols that end there; equal n-grams stay in the order of the ring.

    `places` `[L]`; `first` `[L]` is where in `places` the group of equal n-grams begins; `new` `[L]`, in the order of
    the ring, is whether the n-gram that ends there is the first of its group.
    """

    k: int
    places: np.ndarray
    first: np.ndarray
    new: np.ndarray

    @classmethod
    def by_nothing(cls, L: int) -> "Sorted":
        """Of n-grams of no symbols, which are all equal."""
        return cls(0, np.arange(L, dtype=PLACE), np.zeros(L, PLACE), np.arange(L) == 0)

    @classmethod
    def of_groups(cls, k: int, places: np.ndarray, changes: np.ndarray) -> "Sorted":
        """Of sorted places, `changes` `[L - 1]` being whether each but the first begins another group."""
        changes = np.concatenate([[True], changes])
        first = np.maximum.accumulate(np.where(changes, np.arange(len(places), dtype=PLACE), 0))
        return cls(k, places, first, _in_ring(changes, places))

    def lengthened(self, ring: np.ndarray) -> "Sorted":
        """Sorted by one more symbol on the left."""
        return self._split(np.roll(ring, self.k), 1)

    def followed(self, ring: np.ndarray) -> "Sorted":
        """Sorted by the symbol that follows, too."""
        return self._split(np.roll(ring, -1), 0)

    def _split(self, symbols: np.ndarray, more: int) -> "Sorted":
        """Every group cut in those of equal `symbols` `[L]`, which are in the order of the ring."""
        symbols = symbols[self.places]
        order = np.argsort(symbols, stable=True)  # a radix sort, for symbols of up to 16 bits
        symbols, group = symbols[order], self.first[order]
        changes = (symbols[1:] != symbols[:-1]) | (group[1:] != group[:-1])
        return Sorted.of_groups(self.k + more, self.places[order], changes)

    def earlier(self, counted: np.ndarray) -> np.ndarray:
        """How many of the earlier places of the same group are `counted`, in the order of the ring: `[L]` both."""
        counted = counted[self.places]
        before = np.cumsum(counted, dtype=PLACE) - counted
        return _in_ring(before - before[self.first], self.places)

    def earlier_next(self, counted: np.ndarray) -> np.ndarray:
        """The same for places whose *context* is of a group, their n-gram ending one place before."""
        return np.roll(self.earlier(np.roll(counted, -1)), 1)

    def latest_next(self, counted: np.ndarray) -> np.ndarray:
        """For places whose context is of a group: the latest earlier one that is `counted`; -1 if none is. `[L]`."""
        counted = np.roll(counted, -1)[self.places]
        at = np.maximum.accumulate(np.where(counted, np.arange(len(counted), dtype=PLACE), -1))
        at = np.concatenate([[-1], at[:-1]])
        return np.roll(_in_ring(np.where(at < self.first, -1, self.places[at] + 1), self.places), 1)


def _in_ring(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    out[places] = values
    return out


class Following(NamedTuple):
    """What was read before after the contexts of places that are predicted, `[P]` each.

    `times` c(h.) is how often the context was met; `of_symbol` c(hw) how often the symbol that came followed it;
    `distinct` N(h.) how many symbols did; `latest` whether that symbol came when the context was met last.
    """

    times: np.ndarray
    of_symbol: np.ndarray
    distinct: np.ndarray
    latest: np.ndarray

    @classmethod
    def of(cls, contexts: Sorted, ring: Ring) -> "Following":
        """After `contexts` of `ring`."""
        symbols, learned, predicted = ring.symbols, ring.learned, ring.predicted
        times = contexts.earlier_next(learned)[predicted]
        at = contexts.latest_next(learned)[predicted]
        latest = (at >= 0) & (symbols[at % len(symbols)] == symbols[predicted])
        following = contexts.followed(symbols)
        occurred = following.earlier_next(learned)
        distinct = contexts.earlier_next(learned & (occurred == 0))[predicted]
        return cls(times, occurred[predicted], distinct, latest)

    def interpolated(self, shorter: np.ndarray, discount: float) -> np.ndarray:
        """`interpolated` of these counts: `[P]`."""
        return interpolated(self.times, self.of_symbol, self.distinct, shorter, discount)


def interpolated(
    times: np.ndarray, of_symbol: np.ndarray, distinct: np.ndarray, shorter: np.ndarray, discount: float
) -> np.ndarray:
    """(max(c(hw) - D, 0) + D N(h.) p(w | h')) / c(h.), or `shorter` p(w | h') where c(h.) = 0: `[P]`."""
    p = np.maximum(of_symbol - discount, 0) + discount * distinct * shorter
    return np.divide(p, times, out=shorter.copy(), where=times > 0)
