"""What an evaluation comes to: nats, and the figures that follow from them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A sum of nats over `characters` scored characters that take `size` bytes in UTF-8."""

    nats: float
    characters: int
    size: int

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
        names = ("loss", "perplexity", "bits_per_character", "bits_per_byte", "characters")
        return {name: getattr(self, name) for name in names}
