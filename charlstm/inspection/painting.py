"""A text with a number at each character: what a unit holds after it, or what it contributes to a prediction."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from charlstm.evaluation.characters import characters
from charlstm.evaluation.static import WARM_UP
from charlstm.inspection.features import FEATURES
from charlstm.inspection.trace import memory, trace
from charlstm.model.lstm import LSTMInside
from charlstm.runs.weights import Weights
from charlstm.text.vocabulary import Vocabulary

_PLACE = [feature.name for feature in FEATURES].index("place in the line")


class Tinted(NamedTuple):
    """A character, or what a boundary between documents is written as, with its number."""

    text: str
    value: float


@dataclass(frozen=True)
class Painting:
    """What a unit holds after each character of a text, from -1 to 1: of a cell state it is the tanh.

    Layers count from 1, units from 0; `meaning` is what it says if the unit holds much, if that is known.
    """

    layer: int
    unit: int
    meaning: str
    characters: list[Tinted]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        text, values = [text for text, _ in self.characters], [value for _, value in self.characters]
        return {"layer": self.layer, "unit": self.unit, "text": text, "values": values}


def liveliest(features: list[np.ndarray], column: int, after: int, length: int) -> tuple[int, int]:
    """Where a feature varies most over `length` characters that begin with a line: the number of a piece, the place.

    `features` `[n, K]` are of the pieces of a text, of which so many characters are passed over.
    """
    best, place = (-1.0, 0, 0), 0
    for number, piece in enumerate(features):
        first, last = max(0, after - place), max(0, len(piece) - length)
        starts = first + np.flatnonzero(piece[first : last + 1, _PLACE] == 1)
        for start in starts.tolist() or range(first, last + 1, length):
            best = max(best, (float(piece[start : start + length, column].std()), -number, -start))
        place += len(piece)
    return -best[1], -best[2]


def paint(weights: Weights, ids: np.ndarray, start: int, stop: int, layer: int, unit: int, meaning: str) -> Painting:
    """A unit over the characters `ids[start:stop]`, which are read after those before them."""
    first = max(0, start - WARM_UP)
    blocks = []
    for insides in trace(weights, ids[first:stop]):
        inside = insides[layer - 1]
        values = memory(inside)[:, unit]
        # The cell state is not bounded; Karpathy, Johnson & Fei-Fei (2015) paint its tanh, which the output gate sees.
        blocks.append(np.tanh(values) if isinstance(inside, LSTMInside) else values)
    values = np.concatenate(blocks)[start - first :].astype(np.float64)
    return Painting(
        layer,
        unit,
        meaning,
        spell(weights.vocabulary, ids[start:stop], _of_last_bytes(weights, ids[start:stop], values)),
    )


def spell(vocabulary: Vocabulary, ids: np.ndarray, values: np.ndarray) -> list[Tinted]:
    """The characters of `ids`, each with its value; of several bytes that make one it is the sum, NaN left out."""
    return [Tinted(each.text, each.nats) for each in characters(vocabulary, [(vocabulary.points[ids], values)])]


def _of_last_bytes(weights: Weights, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` such that a character that is made of several bytes has that of its last one."""
    if weights.vocabulary.unit == "byte":
        follows = (weights.vocabulary.points[ids[1:]] & 0xC0) == 0x80  # within a character of UTF-8
        values = np.where(np.append(follows, False), np.nan, values)
    return values
