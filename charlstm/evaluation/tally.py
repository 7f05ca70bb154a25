"""Adding up nats, exactly, and how far the sum may be off."""

import math

import numpy as np

from charlstm.score import Score


class Tally:
    """Adds up nats in double precision, block of text by block.

    Neighbouring characters are hard or easy together, so the standard error is taken over blocks: that of a ratio of
    two sums (Cochran 1977, 6.4), sqrt(sum of (nats - loss characters)^2 over the blocks) / characters.
    """

    def __init__(self) -> None:
        self._blocks = self._utf8_bytes = 0
        self._moments = np.zeros((2, 2))  # sums of n n, n x, x n, x x over blocks of n characters and x nats
        self._sums = np.zeros(2)  # of n and x

    def add(self, nats: np.ndarray, characters: np.ndarray, utf8_bytes: int) -> None:
        """Add blocks, `[K]` each, that take `utf8_bytes` together."""
        both = np.stack([characters, nats]).astype(np.float64)
        self._sums += both.sum(1)
        self._moments += both @ both.T
        self._blocks += int((characters > 0).sum())
        self._utf8_bytes += utf8_bytes

    @property
    def characters(self) -> int:
        """How many characters were added."""
        return int(self._sums[0])

    def score(self) -> Score:
        """The score of all that was added."""
        characters, nats = self._sums
        error = math.nan
        if self._blocks > 1:
            residual = np.array([-nats / characters, 1.0])
            squares = max(0.0, residual @ self._moments @ residual)
            error = math.sqrt(squares * self._blocks / (self._blocks - 1)) / float(characters)
        return Score(float(nats), int(characters), self._utf8_bytes, error)


def score_of(nats: np.ndarray, utf8_bytes: np.ndarray, block: int = 512) -> Score:
    """The score of characters that cost `nats` and take `utf8_bytes`, `[M]` each; blocks are `block` of them."""
    tally, starts = Tally(), np.arange(0, len(nats), block)
    tally.add(np.add.reduceat(nats, starts), np.diff(starts, append=len(nats)), int(utf8_bytes.sum()))
    return tally.score()
