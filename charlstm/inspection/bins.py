"""How well a single value predicts: it is cut into bins, and the mean of a target in each bin is the prediction.

What is learned and what is scored are two parts of the data, and of both there are sums for each bin only, so that
memory does not grow with them.

N: observations.  U: values, one a unit.  C: targets.
"""

import numpy as np

BINS = 16
_ROWS, _UNITS = 4096, 64  # observations and units that are counted at a time: 16 MB


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges between the bins `[U, BINS - 1]` for values like those in `[N, U]`.

    Half of them have equally many values between them and half are evenly spaced, so that neither what is crowded nor
    what is rare falls into a single bin.
    """
    crowded = np.quantile(values, np.linspace(0, 1, BINS // 2 + 1)[1:-1], axis=0)
    even = np.linspace(values.min(0), values.max(0), BINS - len(crowded) + 1)[1:-1]
    return np.sort(np.concatenate([crowded, even]), axis=0).T


class Table:
    """Sums of one part: how many observations each bin of each unit has, `[U, BINS]`, and their targets' sums."""

    def __init__(self, edges: np.ndarray, targets: int) -> None:
        self._lowest = np.concatenate([np.full((len(edges), 1), -np.inf), edges], axis=1).astype(np.float32)
        self._above = np.zeros((len(edges), BINS, 1 + targets))  # in a bin or in one above it
        self._squares = np.zeros(targets)
        self._waiting = list[tuple[np.ndarray, np.ndarray]]()

    def add(self, values: np.ndarray, targets: np.ndarray, is_in: np.ndarray) -> None:
        """Count those observations of float32 `[N, U]` and `[N, C]` that are in this part: bool `[N]`."""
        columns = np.concatenate([np.ones((len(targets), 1), np.float32), targets], axis=1)
        self._waiting.append((values[is_in], columns[is_in]))
        if sum(len(columns) for _, columns in self._waiting) >= _ROWS:
            self._count()

    def _count(self) -> None:
        """Count what waits: products of a few rows would cost more to begin than to do."""
        if not self._waiting:
            return
        values, columns = map(np.concatenate, zip(*self._waiting, strict=True))
        self._waiting.clear()
        self._squares += np.square(columns[:, 1:], dtype=np.float64).sum(0)
        for start in range(0, len(self._lowest), _UNITS):
            units = slice(start, start + _UNITS)
            is_above = values[:, units, None] >= self._lowest[None, units]
            sums = is_above.reshape(len(values), -1).astype(np.float32).T @ columns
            self._above[units] += sums.reshape(-1, BINS, columns.shape[1])

    @property
    def _bins(self) -> np.ndarray:
        self._count()
        return self._above - np.pad(self._above[:, 1:], ((0, 0), (0, 1), (0, 0)))

    @property
    def counts(self) -> np.ndarray:
        """Observations in each bin: `[U, BINS]`."""
        return self._bins[..., 0]

    @property
    def sums(self) -> np.ndarray:
        """Sums of the targets in each bin: `[U, BINS, C]`."""
        return self._bins[..., 1:]

    @property
    def squares(self) -> np.ndarray:
        """Sums of the squares of the targets over all observations: `[C]`."""
        self._count()
        return self._squares


def r_squared(learned: Table, scored: Table) -> np.ndarray:
    """R2, 1 - squared error / variance, of the means that were learned: `[U, C]`; 0 is what a constant gets."""
    counts, sums = learned.counts[..., None], learned.sums
    overall = sums.sum(1, keepdims=True) / counts.sum(1, keepdims=True)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)  # an empty bin says nothing
    counts, sums = scored.counts[..., None], scored.sums
    errors = scored.squares - 2 * (means * sums).sum(1) + (means**2 * counts).sum(1)
    variance = scored.squares - sums.sum(1) ** 2 / counts.sum(1)
    return np.where(variance > 0, 1 - errors / np.where(variance > 0, variance, 1), 0)


def roc_areas(table: Table) -> np.ndarray:
    """The area under the ROC curve if targets are 0 or 1: `[U, C]`.

    That is the probability that the value is higher at a 1 than at a 0, with half of those in the same bin.
    """
    ones = table.sums
    zeros = table.counts[..., None] - ones
    below = np.cumsum(zeros, axis=1) - zeros / 2
    pairs = ones.sum(1) * zeros.sum(1)
    return np.where(pairs > 0, (ones * below).sum(1) / np.where(pairs > 0, pairs, 1), 0.5)


def trends(table: Table) -> np.ndarray:
    """How the means go with the value, `[U, C]`: 1 where they rise from bin to bin, -1 where they fall.

    It is the correlation of the mean with the rank of the bin, each bin by the observations in it.
    """
    counts, sums = table.counts[..., None], table.sums
    total = counts.sum(1, keepdims=True)
    ranks = np.cumsum(counts, axis=1) - counts / 2
    means = sums / np.maximum(counts, 1)
    ranks, means = (each - (each * counts).sum(1, keepdims=True) / total for each in (ranks, means))
    spread = np.sqrt((ranks**2 * counts).sum(1) * (means**2 * counts).sum(1))
    return (ranks * means * counts).sum(1) / np.where(spread > 0, spread, 1)
