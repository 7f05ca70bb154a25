"""Where a text ends before its length: at a text that was waited for, after so many lines, or so many documents."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from charlstm.errors import ConfigError, setting
from charlstm.text.corpus import Corpus
from charlstm.text.documents import boundaries
from charlstm.text.vocabulary import Vocabulary, name_of

Ended = Literal["length", "until", "lines", "documents", "interrupted"]

MAX_LENGTH = 1_000_000  # symbols of a document that does not end by itself
_MAX_KNOWN = 1000  # documents in a row that all stand in the text


@dataclass(frozen=True, eq=False)
class Ends:
    """What is waited for: one of the texts `until`, in symbols, so many `lines`, so many `documents`; 0 is none.

    Documents of which the hash is `known` are not written and do not count; None: all are written.

    Raises:
        ConfigError: it never comes, as the model does not know a character of it, or tells no documents apart.
    """

    vocabulary: Vocabulary
    until: Sequence[str] = ()
    lines: int = 0
    documents: int = 0
    known: Collection[int] | None = None

    def __post_init__(self) -> None:
        known = set(self.vocabulary.symbols)
        if self.vocabulary.boundary is not None:
            known |= set(self.vocabulary.separator or "\n")
        for text in self.until:
            for character in text:
                if character not in known:
                    raise ConfigError(
                        f"{setting('until', text)} never comes: this model does not know {name_of(character)}"
                    )
        if self.lines and "\n" not in known:
            raise ConfigError(f"{setting('lines', self.lines)} never comes: this model does not know line ends")
        if self.documents and self.vocabulary.boundary is None:
            raise ConfigError("the model knows no documents", "train it with `--documents lines` or the like")


def hashes_of(own_text: Corpus) -> set[int]:
    """The hashes of all documents of a text, each with the boundary that ends it."""
    assert own_text.vocabulary.boundary is not None
    edges = (boundaries(own_text.ids, own_text.vocabulary.boundary) + 1).tolist()
    return {_hash(own_text.ids[start:end]) for start, end in pairwise(edges)}


def _hash(ids: np.ndarray) -> int:
    return hash(ids.astype(np.uint32).tobytes())


class Piece(NamedTuple):
    """What of a chunk is written: ids, their log-probabilities, their text, and why it ends there, if it does."""

    ids: np.ndarray
    log_probabilities: np.ndarray
    text: str
    ended: Ended | None


class Watch:
    """Watches one text that comes in chunks of ids; what it holds back, a later piece may bring."""

    def __init__(self, ends: Ends, prompt: np.ndarray) -> None:
        """The ids of `prompt`, which ends inside a document, belong to the first one."""
        self._ends, self._vocabulary = ends, ends.vocabulary
        self._torn = max(map(len, ends.until), default=1) - 1  # characters of which the next piece may make an end
        self._before, self._lines = "", ends.lines
        # Of documents: what the present one begins with, what of it waits, and how many were written, or known.
        self._begun = prompt[np.append(-1, np.flatnonzero(prompt == self._vocabulary.boundary))[-1] + 1 :]
        self._waiting = list[tuple[np.ndarray, np.ndarray]]()
        self._written = self._refused = self._length = 0

    def cut(self, ids: np.ndarray, log_probabilities: np.ndarray) -> Piece:
        """What of a chunk `[n]` is to be written.

        Raises:
            ConfigError: the model has drawn nothing but documents that it knows, a thousand times.
        """
        ended: Ended | None = None
        if self._ends.documents:
            ids, log_probabilities, ended = self._cut_documents(ids, log_probabilities)
        text = self._vocabulary.decode(ids)
        if found := self._ends_in(text):
            end, ended = min(found, key=lambda each: each[0])
            kept = _symbols_in(self._vocabulary, ids, end)
            return Piece(ids[:kept], log_probabilities[:kept], text[:end], ended)
        return Piece(ids, log_probabilities, text, ended)

    def _ends_in(self, text: str) -> list[tuple[int, Ended]]:
        """After which of its characters the text could end, and why."""
        found: list[tuple[int, Ended]] = []
        seen = self._before + text
        for until in self._ends.until:
            if (place := seen.find(until)) >= 0:
                found.append((place + len(until) - len(self._before), "until"))
        if self._lines:
            ends = [place for place, character in enumerate(text) if character == "\n"]
            if len(ends) >= self._lines:
                found.append((ends[self._lines - 1] + 1, "lines"))
            self._lines = max(1, self._lines - len(ends))
        self._before = seen[len(seen) - self._torn :] if self._torn < len(seen) else seen
        return found

    def _cut_documents(
        self, ids: np.ndarray, log_probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Ended | None]:
        """Ids up to the last boundary; where some are known, a document is written once it is whole."""
        boundary, known = self._vocabulary.boundary, self._ends.known
        edges = np.flatnonzero(ids == boundary) + 1
        kept, ended = [(ids[:0], log_probabilities[:0])], None
        for part in zip(np.split(ids, edges), np.split(log_probabilities, edges), strict=True):
            self._length += len(part[0])
            self._waiting.append(part)
            is_whole = len(part[0]) > 0 and part[0][-1] == boundary
            if known is None or (is_whole and self._is_new(known)):
                kept += self._waiting
                self._waiting, self._refused = [], 0
                self._written += is_whole
            elif is_whole:
                self._waiting, self._refused = [], self._refused + 1
            if is_whole:
                self._begun, self._length = self._begun[:0], 0
            if self._written == self._ends.documents or self._length > MAX_LENGTH:
                ended = "documents" if is_whole else "length"
                break
            if self._refused == _MAX_KNOWN:
                raise ConfigError(
                    f"the last {_MAX_KNOWN:,} documents all stand in the model's own text",
                    "raise the temperature, or train for a shorter time",
                )
        ids, log_probabilities = map(np.concatenate, zip(*kept, strict=True))
        return ids, log_probabilities, ended

    def _is_new(self, known: Collection[int]) -> bool:
        return _hash(np.concatenate([self._begun, *(ids for ids, _ in self._waiting)])) not in known


def _symbols_in(vocabulary: Vocabulary, ids: np.ndarray, characters: int) -> int:
    """How many of `ids` the first `characters` of their text are: a boundary is written as one or more."""
    lengths = np.ones(len(ids), int)
    if vocabulary.boundary is not None:
        lengths[ids == vocabulary.boundary] = len(vocabulary.separator or "\n")
    return int(np.searchsorted(np.cumsum(lengths), characters)) + 1 if characters else 0
