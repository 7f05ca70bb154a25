"""What an evaluation comes to: nats, and the figures that follow from them."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Score:
    """A sum of nats over `characters` scored characters that take `utf8_bytes` in UTF-8.

    `standard_error` is that of the loss, in nats per character; NaN where it was not measured.
    """

    nats: float
    characters: int
    utf8_bytes: int
    standard_error: float = math.nan

    @property
    def loss(self) -> float:
        """Nats per character."""
        return self.nats / self.characters

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely characters that would be as hard to predict."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_character(self) -> float:
        """loss / ln 2."""
        return self.loss / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """Total nats / (ln 2 x UTF-8 bytes): comparable across alphabets."""
        return self.nats / math.log(2) / self.utf8_bytes

    def to_dict(self) -> dict[str, Any]:
        """The figures that `evaluate --json` prints."""
        names = ("loss", "perplexity", "bits_per_character", "bits_per_byte", "characters", "standard_error")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Novelty:
    """How much of a text is new, beside that which a model was trained on.

    `span` is the longest part of it that stands there, of `longest` characters or bytes, as `unit` says. Of the text's
    20-grams the share `new_20_grams` does not stand there; NaN where it has none.
    """

    longest: int
    span: str
    new_20_grams: float
    unit: str = "character"

    def to_dict(self) -> dict[str, Any]:
        """The figures for JSON."""
        return {"longest_span": self.longest, "span": self.span, "new_20_grams": self.new_20_grams}


@dataclass(frozen=True)
class Evaluation(Score):
    """The score of a text, `skipped` characters of it left out as unknown, and other scores of the same text.

    `text` says what was scored; `beside` has the scores that were asked for beside the model's own, by name. Where
    documents are told apart, `boundaries` of the scored symbols are no characters but end a document. Each takes as
    many bytes as what it stands for in the text: a line end 1, a blank line 2, the end of a file none.
    """

    text: str = ""
    skipped: int = 0
    beside: dict[str, Score] = field(default_factory=dict[str, Score])
    boundaries: int = 0
    novelty: Novelty | None = None
