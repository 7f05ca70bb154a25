"""Texts that are made of documents: where they are cut, what stands between them, and the order in which they come.

A boundary stands before the first document and after each, so that a model learns how they begin and end. Documents
that are empty are none. In arrays of code points the boundary is `BOUNDARY`, which no character is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from charlstm.options import DOCUMENTS, Unit
from charlstm.text.reading import Block, Fingerprint, Piece, points_of, read_pieces, read_text
from charlstm.text.vocabulary import BOUNDARY, Vocabulary, codepoints

_LINE_END = r"\r?\n"
_BLOCK = 1 << 20  # symbols that are moved at a time
_AT_ONCE = 1 << 16  # documents that are moved at a time
_SMALL = 1 << 16  # bytes; blocks of less are put together
_STREAM = 0x646F6373  # tells the random numbers of the order from others of the same seed


@dataclass(frozen=True)
class Documents:
    r"""How texts are cut: `kind` is whole, files, lines, blank-lines or a separator.

    In a separator, \n, \t and \\ stand for a line end, a tab and a backslash. A file's end is a document's, too.
    Without a seed documents keep their order.
    """

    kind: str = "whole"
    seed: int | None = None

    @property
    def are_cut(self) -> bool:
        """Whether there are boundaries."""
        return self.kind != "whole"

    @property
    def is_custom(self) -> bool:
        """Whether `kind` is a separator."""
        return self.kind not in DOCUMENTS

    def separator(self, unit: Unit) -> str:
        """What a boundary is in the text, in symbols; of files, nothing."""
        if not self.is_custom:
            return DOCUMENTS[self.kind]
        text = re.sub(r"\\([nt\\])", lambda match: {"n": "\n", "t": "\t", "\\": "\\"}[match[1]], self.kind)
        return Vocabulary.of_bytes().symbols_of(text) if unit == "byte" else text

    def read(
        self, files: Sequence[Path], unit: Unit, encoding: str, fingerprint: Fingerprint, keep_mark: bool = False
    ) -> Iterator[Piece]:
        """All files with their boundaries, in pieces; what is read goes into the fingerprint."""
        if self.kind in ("whole", "files"):
            texts = (read_pieces(path, encoding, fingerprint, keep_mark) for path in files)
        else:
            strings = (read_text(path, encoding, fingerprint, keep_mark) for path in files)
            texts = (self._cut(text, unit) for text in strings)
        return _in_blocks(_with_boundaries(texts) if self.are_cut else chain.from_iterable(texts))

    def _cut(self, text: Iterator[str], unit: Unit) -> Iterator[np.ndarray]:
        """One text, without a boundary at its beginning, and with one at its end or without."""
        if self.kind == "lines":
            return _cut_at(text, _LINE_END, 1, 1)
        if self.kind == "blank-lines":
            return _cut_at(text, _LINE_END, 2, 3)
        separator = self.separator(unit)
        return _cut_at(text, re.escape(separator), 1, len(separator) - 1)


WHOLE = Documents()


def _with_boundaries(texts: Iterable[Iterator[Piece]]) -> Iterator[Piece]:
    boundary = np.array([BOUNDARY], np.uint32)
    yield boundary
    for text in texts:
        is_open = False
        for piece in text:
            if isinstance(piece, Block) or len(piece):
                is_open = isinstance(piece, Block) or piece[-1] != BOUNDARY
                yield piece
        if is_open:
            yield boundary


def _cut_at(text: Iterator[str], end: str, least: int, torn: int) -> Iterator[np.ndarray]:
    """Cut wherever the pattern `end` occurs `least` times in a row, and no text is left where it only begins or ends.

    The pieces of `text` may tear what ends a document: the last `torn` characters of each wait for the next.
    """
    ends, at_the_start, at_the_end = (
        re.compile(pattern) for pattern in (f"(?:{end}){{{least},}}", f"(?:{end})+", f"(?:{end})\\Z")
    )
    held, is_open = "", False
    for piece in chain(text, [None]):
        joined = held + (piece or "")
        if not is_open and (match := at_the_start.match(joined)):
            joined = joined[match.end() :]
        documents = ends.split(joined)
        last = documents[-1]
        keep = max(0, len(last) - torn)
        documents[-1], held = (at_the_end.sub("", last), "") if piece is None else (last[:keep], last[keep:])
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        points = np.insert(codepoints("".join(documents)), np.cumsum(lengths)[:-1], np.uint32(BOUNDARY))
        if len(points):
            is_open = points[-1] != BOUNDARY
        yield points


def _in_blocks(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Small pieces put together: the work on thousands of small files is that on a large one."""
    waiting, size = list[np.ndarray](), 0
    for piece in pieces:
        is_large = isinstance(piece, Block) and len(piece.data) >= _SMALL
        if not is_large:
            waiting.append(points_of(piece))
            size += len(waiting[-1])
        if waiting and (is_large or size >= _BLOCK):
            yield np.concatenate(waiting)
            waiting, size = [], 0
        if is_large:
            yield piece
    if waiting:
        yield np.concatenate(waiting)


def shuffled(ids: np.ndarray, boundary: int, seed: int) -> Iterator[np.ndarray]:
    """The documents of `ids`, which begin and end with a boundary, in a random order; in blocks.

    The order depends on nothing but the seed and how many there are: NumPy promises that the raw numbers of a bit
    generator stay as they are, which it does not of a permutation. Some 30 bytes of memory a document.
    """
    edges = boundaries(ids, boundary)
    numbers = np.random.PCG64(np.random.SeedSequence([seed, _STREAM])).random_raw(len(edges) - 1)
    order = np.argsort(numbers, kind="stable")
    del numbers
    yield ids[:1]
    for first in range(0, len(order), _AT_ONCE):
        some = order[first : first + _AT_ONCE]
        starts, lengths = edges[some] + 1, edges[some + 1] - edges[some]  # each with the boundary that ends it
        yield from _moved(ids, starts, lengths)


def _moved(ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of `ids`, one after the other, in blocks."""
    ends = np.cumsum(lengths)
    for low in range(0, int(ends[-1]), _BLOCK):
        high = min(low + _BLOCK, int(ends[-1]))
        some = slice(np.searchsorted(ends, low, "right"), np.searchsorted(ends, high, "left") + 1)
        begins = ends[some] - lengths[some]
        counts = np.minimum(ends[some], high) - np.maximum(begins, low)
        yield ids[np.arange(low, high) + np.repeat(starts[some] - begins, counts)]


def boundaries(ids: np.ndarray, boundary: int) -> np.ndarray:
    """Where in `ids` the boundaries are, int64."""
    places = [start + np.flatnonzero(ids[start : start + _BLOCK] == boundary) for start in range(0, len(ids), _BLOCK)]
    return np.concatenate([np.zeros(0, np.int64), *places])


def count_boundaries(ids: np.ndarray, boundary: int) -> int:
    """How many boundaries there are in `ids`."""
    return sum(int(np.count_nonzero(ids[start : start + _BLOCK] == boundary)) for start in range(0, len(ids), _BLOCK))


def nearest_boundary(ids: np.ndarray, boundary: int, place: int, low: int, high: int) -> int | None:
    """The boundary nearest to `place` among those from `low` to below `high`; None if there is none."""
    found = list[int]()
    for start in range(place, high, _BLOCK):
        hits = np.flatnonzero(ids[start : min(start + _BLOCK, high)] == boundary)
        if len(hits):
            found.append(start + int(hits[0]))
            break
    for end in range(place, low, -_BLOCK):
        start = max(low, end - _BLOCK)
        hits = np.flatnonzero(ids[start:end] == boundary)
        if len(hits):
            found.append(start + int(hits[-1]))
            break
    return min(found, key=lambda at: abs(at - place), default=None)
