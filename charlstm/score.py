"""What an evaluation comes to: nats, and the figures that follow from them."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """A sum of nats over `characters` scored characters that take `size` bytes in UTF-8.

    `standard_error` is that of the loss, in nats per character; NaN where it was not measured.
    """

    nats: float
    characters: int
    size: int
    standard_error: float = math.nan

    @property
    def loss(self) -> float:
        """Nats per character."""
        return self.nats / self.characters

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many equally likely characters the model hesitates."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_character(self) -> float:
        """loss / ln 2."""
        return self.loss / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """Total nats / (ln 2 x UTF-8 bytes): comparable across alphabets."""
        return self.nats / math.log(2) / self.size

    def to_json(self) -> dict[str, float]:
        """The figures that `evaluate --json` prints."""
        names = ("loss", "perplexity", "bits_per_character", "bits_per_byte", "characters", "standard_error")
        return {name: getattr(self, name) for name in names}


class Tally:
    """Adds up nats in double precision, block of text by block.

    Neighbouring characters are hard or easy together, so the standard error is taken over blocks: that of a ratio of
    two sums (Cochran 1977, 6.4), sqrt(sum of (nats - loss characters)^2 over the blocks) / characters.
    """

    def __init__(self) -> None:
        self._blocks = self._size = 0
        self._moments = np.zeros((2, 2))  # sums of n n, n x, x n, x x over blocks of n characters and x nats
        self._sums = np.zeros(2)  # of n and x

    def add(self, nats: np.ndarray, characters: np.ndarray, size: int) -> None:
        """Add blocks, `[K]` each, that take `size` bytes together."""
        both = np.stack([characters, nats]).astype(np.float64)
        self._sums += both.sum(1)
        self._moments += both @ both.T
        self._blocks += int((characters > 0).sum())
        self._size += size

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
        return Score(float(nats), int(characters), self._size, error)
