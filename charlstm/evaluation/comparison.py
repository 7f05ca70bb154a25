"""Models beside each other: scores on the same places of the same text, and the settings that differ.

Two models find the same passages hard, so their difference is known much better than the score of either: its
standard error is that of the differences of both, block by block of the text (paired). Models with other vocabularies
or units are compared by the characters of the text: a character of several bytes costs a model of bytes their sum.

N: characters of a piece of the text.  K: blocks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlstm.config import RunConfig, to_dict
from charlstm.errors import ConfigError, VocabularyError, setting
from charlstm.evaluation.characters import characters
from charlstm.evaluation.surprise import surprises
from charlstm.evaluation.tally import Tally
from charlstm.options import CompareOptions
from charlstm.runs.card import read_card
from charlstm.runs.texts import names_of, open_texts, own_text
from charlstm.runs.weights import Weights, load_weights
from charlstm.score import Score
from charlstm.text.spool import name_of, seekable
from charlstm.text.vocabulary import BOUNDARY, UNKNOWN, Vocabulary, codepoints

BLOCK = 512  # characters of the text whose nats are one observation
_MAX_CHARACTERS = 2**17  # of a longer text as many are scored, in pieces that are spread over it
_PIECES = 16
_BYTES = "".join(map(chr, range(0xDC80, 0xDD00)))  # as Python has those that are part of no character


@dataclass(frozen=True)
class Difference:
    """How many nats per character more a model needs than the first one, and the standard error, paired by block."""

    loss: float
    standard_error: float

    def to_dict(self) -> dict[str, float]:
        """The figures for JSON."""
        return vars(self) | {"bits_per_character": self.loss / math.log(2)}


@dataclass(frozen=True)
class Compared:
    """A model among others: its settings, the reports of its run, and its score on the common text.

    The first one, to which the others are compared, has no difference.
    """

    name: str
    config: RunConfig
    reports: list[dict[str, Any]]
    score: Score
    difference: Difference | None


@dataclass(frozen=True)
class Comparison:
    """Models on the `characters` of `text` that all of them predict, in so many `blocks`."""

    models: list[Compared]
    text: str
    characters: int
    blocks: int
    block_characters: int = BLOCK

    @property
    def settings(self) -> dict[str, list[Any]]:
        """The settings that are not the same in all models: name -> values, one a model; None where it has none."""
        flat = [dict(_flat(to_dict(model.config))) for model in self.models]
        values = {name: [each.get(name) for each in flat] for each in flat for name in each}
        return {name: each for name, each in values.items() if any(value != each[0] for value in each)}

    def to_dict(self) -> dict[str, Any]:
        """What `compare --json` prints."""
        models = [
            {"run": model.name}
            | model.score.to_dict()
            | {"difference": model.difference and model.difference.to_dict(), "history": model.reports}
            for model in self.models
        ]
        about = {name: getattr(self, name) for name in ("text", "characters", "blocks", "block_characters")}
        return about | {"runs": models, "settings": self.settings}


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def compare(options: CompareOptions) -> Comparison:
    """Score all models on a common text, one after the other.

    Raises:
        ConfigError: no text is named, and the first run has no validation part.
        CorpusError: a text cannot be found or read.
        RunError: a run has no weights, is missing or damaged, or the first run's own text has changed.
        VocabularyError: a model does not know a character of the text, and it is not to be skipped, or knows none.
    """
    on_progress = options.on_progress or (lambda what, done, total: None)
    text: _Text | None = None
    found: list[tuple[str, RunConfig, list[dict[str, Any]]]] = []
    nats: list[list[np.ndarray]] = []
    for run in options.runs:
        name = name_of(run)
        with seekable(run) as source:
            weights, card = load_weights(source), read_card(source)
        text = text or _open(weights, name, options)
        found.append((name, card.config, card.reports))
        nats.append([])
        for number, piece in enumerate(text.pieces):
            on_progress(f"scoring {name}", number, len(text.pieces))
            nats[-1].append(_nats_of(weights, name, text, piece, options))
    assert text
    return _compared(text, found, [np.stack(pieces) for pieces in zip(*nats, strict=True)])


@dataclass(frozen=True)
class _Text:
    """Pieces of a text as the first model has it, in code points, and what they are in words."""

    pieces: list[np.ndarray]
    vocabulary: Vocabulary
    words: str

    def characters(self, piece: np.ndarray) -> str:
        """A piece as characters, boundaries as they are written."""
        return self.vocabulary.text_of(self.vocabulary.text_of_points(piece))

    def read_by(self, vocabulary: Vocabulary, piece: np.ndarray) -> np.ndarray:
        """The code points of a piece as a model of another vocabulary reads it: the same characters."""
        own = self.vocabulary
        if (own.unit, own.boundary is None, own.separator) != (
            vocabulary.unit, vocabulary.boundary is None, vocabulary.separator
        ):  # fmt: skip
            piece = vocabulary.points_of(vocabulary.symbols_of(self.characters(piece)))
        return piece if vocabulary.boundary is None else np.append(np.uint32(BOUNDARY), piece)


def _open(weights: Weights, name: str, options: CompareOptions) -> _Text:
    """The common text: all of it or, if it is long, pieces of it."""
    config, vocabulary = weights.config.corpus, weights.vocabulary
    if options.file:
        words, encoding = str(options.file), options.encoding or config.encoding
        named = names_of(options.file)
        ids = open_texts(
            named, config.unit, encoding, vocabulary, options.unknown, options.on_progress, config.documents
        ).ids
    else:
        words = f"the validation part of {name}"
        ids = own_text(weights, options.own_text, options.on_progress)[0].split(weights.config.training.validation)[1]
        if not len(ids):
            raise ConfigError(f"{name} has no validation part", f"name a text with {setting('file')}")
    starts, length = [0], len(ids)
    if length > _MAX_CHARACTERS:
        length = _MAX_CHARACTERS // _PIECES + BLOCK
        starts = np.linspace(0, len(ids) - length, _PIECES, dtype=np.int64).tolist()
        words = f"{len(starts)} pieces of {words}"
    pieces = [vocabulary.points[ids[start : start + length]] for start in starts]
    return _Text([piece[int(piece[0] == BOUNDARY) :] for piece in pieces], vocabulary, words)


def _nats_of(weights: Weights, name: str, text: _Text, piece: np.ndarray, options: CompareOptions) -> np.ndarray:
    """The nats of each character of a piece, `[N]`; NaN where there is no prediction.

    Those of a boundary that is written as several characters are at the first of them.
    """
    vocabulary, written = weights.vocabulary, text.characters(piece)
    points = text.read_by(vocabulary, piece)
    unknown = np.unique(points[vocabulary.table[points] == UNKNOWN])
    if vocabulary.unit != text.vocabulary.unit:
        unknown = np.setdiff1d(unknown, codepoints(_edges(written)))
    if len(unknown) and options.unknown == "error":
        error = vocabulary.unknown_error("".join(map(chr, unknown)))
        raise VocabularyError(
            f"{name} cannot be scored on {text.words}: {error.raw_message}",
            f"{setting('unknown', 'skip')} scores none of the models on them, {setting('file')} names another text",
        )
    nats = np.zeros(len(written))
    for character in characters(vocabulary, surprises(weights, iter([points]))):
        nats[character.offset] = character.nats
    return nats


def _edges(text: str) -> str:
    """The bytes at both ends of a piece that are the rest, or the beginning, of a character."""
    return text[: len(text) - len(text.lstrip(_BYTES))] + text[len(text.rstrip(_BYTES)) :]


def _compared(
    text: _Text, found: list[tuple[str, RunConfig, list[dict[str, Any]]]], pieces: list[np.ndarray]
) -> Comparison:
    """Scores of what all models predict, `[models, N]` each piece; of several, the first block is a warm-up."""
    blocks = [_blocks(text.characters(piece), nats) for piece, nats in zip(text.pieces, pieces, strict=True)]
    sums, counts, sizes = zip(*blocks, strict=True)
    first = int(len(pieces) > 1)
    nats = np.concatenate([each[:, first:] for each in sums], axis=1)
    characters, utf8_bytes = (np.concatenate([each[first:] for each in parts]) for parts in (counts, sizes))
    if not characters.sum():
        raise VocabularyError(f"there is no character in {text.words} that all models predict", "name another text")

    def tally(nats: np.ndarray) -> Score:
        tally = Tally()
        tally.add(nats, characters, int(utf8_bytes.sum()))
        return tally.score()

    differences = [None, *(tally(nats[m] - nats[0]) for m in range(1, len(nats)))]
    models = [
        Compared(*about, tally(own), difference and Difference(difference.loss, difference.standard_error))
        for about, own, difference in zip(found, nats, differences, strict=True)
    ]
    return Comparison(models, text.words, int(characters.sum()), int((characters > 0).sum()))


def _blocks(text: str, nats: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over blocks of `text`, where all models predict: their nats `[models, K]`, characters and bytes `[K]`."""
    starts = np.arange(0, len(text), BLOCK)
    counted = ~np.isnan(nats).any(0)
    points = codepoints(text)
    utf8_bytes = 1 + np.searchsorted([0x80, 0x800, 0x10000], points, side="right")
    utf8_bytes[np.isin(points, codepoints(_BYTES))] = 1
    parts = (np.where(counted, nats, 0), counted.astype(np.int64), np.where(counted, utf8_bytes, 0))
    sums, counts, sizes = (np.add.reduceat(part, starts, axis=-1) for part in parts)
    return sums, counts, sizes
