"""What is shown of a text that was read: its characters and its lines, with their surprise."""

import codecs
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from charlstm.text.vocabulary import BOUNDARY, Vocabulary


@dataclass(frozen=True, slots=True)
class Character:
    """A character of a text and its surprise: NaN where nothing predicts it, or the model does not know it.

    The texts of all characters together are the text, as the model reads it, and `offset` is the place in it. A
    boundary between documents has what it is written as. In a model of bytes a character's surprise is the sum of its
    bytes'.
    """

    offset: int
    text: str
    nats: float

    @property
    def bits(self) -> float:
        """nats / ln 2."""
        return self.nats / math.log(2)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text, counted from 1, without its line end, which is scored with it.

    `nats` is the sum over those `characters` of it that have a surprise.
    """

    number: int
    text: str
    nats: float
    characters: int

    @property
    def bits(self) -> float:
        """nats / ln 2."""
        return self.nats / math.log(2)

    @property
    def bits_per_character(self) -> float:
        """NaN where no character has a surprise."""
        return self.bits / self.characters if self.characters else math.nan


def characters(vocabulary: Vocabulary, pieces: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[Character]:
    """The characters of code points and their nats, in pieces of `[n]` each."""
    symbols = (symbol for points, nats in pieces for symbol in zip(points.tolist(), nats.tolist(), strict=True))
    spell = _spell_bytes if vocabulary.unit == "byte" else _spell
    offset = 0
    for text, nats in spell(symbols, vocabulary.separator or "\n"):
        yield Character(offset, text, nats)
        offset += len(text)


Symbols = Iterator[tuple[int, float]]  # code points or bytes, and their nats


def _spell(symbols: Symbols, separator: str) -> Iterator[tuple[str, float]]:
    for point, nats in symbols:
        yield separator if point == BOUNDARY else chr(point), nats


def _spell_bytes(symbols: Symbols, separator: str) -> Iterator[tuple[str, float]]:
    """Characters of UTF-8; bytes that are none of one are lone surrogates, as Python's `surrogateescape` has them."""
    make_decoder = codecs.getincrementaldecoder("utf-8")
    decoder, waiting = make_decoder("surrogateescape"), list[float]()

    def read(byte: bytes) -> Iterator[tuple[str, float]]:
        for character in decoder.decode(byte, final=not byte):
            size = len(character.encode("utf-8", "surrogateescape"))
            yield character, _sum(waiting[:size])
            del waiting[:size]

    for symbol, nats in symbols:
        if symbol == BOUNDARY:
            yield from read(b"")
            yield separator.encode("latin-1").decode("utf-8", "surrogateescape"), nats
        else:
            waiting.append(nats)
            yield from read(bytes([symbol]))
    yield from read(b"")


def _sum(nats: list[float]) -> float:
    """The sum of those that are there; NaN if none is."""
    known = [each for each in nats if not math.isnan(each)]
    return sum(known) if known else math.nan


def lines(text: Iterable[Character]) -> Iterator[Line]:
    """The lines of a text.

    A boundary that has several line ends is scored with the line that it ends; of those within it, which have no
    surprise of their own, the empty ones are left out.
    """
    number, pieces, nats, scored = 1, list[str](), 0.0, 0
    for character in text:
        before, *after = character.text.split("\n")
        pieces.append(before)
        if not math.isnan(character.nats):
            nats, scored = nats + character.nats, scored + 1
        for place, following in enumerate(after):
            if place == 0 or pieces != [""]:
                yield Line(number, "".join(pieces).removesuffix("\r"), nats, scored)
            number, pieces, nats, scored = number + 1, [following], 0.0, 0
    if "".join(pieces) or scored:
        yield Line(number, "".join(pieces), nats, scored)
