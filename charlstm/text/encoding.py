"""Pieces of a text -> ids, and how often each character occurs, in some nanoseconds a byte.

Nearly all bytes of most texts stand for themselves: they are looked up as bytes, and only those around which more must
be known are decoded. Where these are many, as in Chinese or Russian, a block is decoded whole.

n: bytes of a block.  m: characters of it that are decoded.
"""

from typing import NamedTuple

import numpy as np

from charlstm.text.reading import Block, Piece, points_of
from charlstm.text.vocabulary import UNKNOWN, Vocabulary, codepoints

_FEW = 8  # an eighth of all bytes: where more must be decoded, all are
_NOT_PLAIN = 0xFF


class _Decoded(NamedTuple):
    """Some characters of a block: their code points, `[m]`, their first bytes, and the other bytes that they have."""

    points: np.ndarray
    places: np.ndarray
    continuations: np.ndarray


def _decoded(block: Block, is_other: np.ndarray) -> _Decoded | None:
    """The characters of the bytes that are others, `[n]`; None if they are many, or something is wrong with them."""
    if _FEW * np.count_nonzero(is_other) > len(is_other):
        return None
    others = np.flatnonzero(is_other)
    bytes_ = np.frombuffer(block.data, np.uint8)[others]
    continues = (bytes_ & 0xC0) == 0x80 if block.encoding == "utf-8" else np.zeros(len(bytes_), bool)
    # Bytes that form characters form them in the block, too, if every byte that continues one follows the one before.
    if (np.diff(others, prepend=-2)[continues] > 1).any():
        return None
    try:
        text = bytes_.tobytes().decode(block.encoding)
    except UnicodeDecodeError:
        return None
    return _Decoded(codepoints(text), others[~continues], others[continues])


def count(piece: Piece) -> np.ndarray:
    """How often each code point occurs, up to the highest that does: int64.

    Raises:
        CorpusError: it is a block that is not in its encoding, or binary.
    """
    if not isinstance(piece, Block) or piece.may_be_binary:
        return np.bincount(points_of(piece))
    data = np.frombuffer(piece.data, np.uint8)
    if piece.encoding != "utf-8":
        return _byte_counts(data)
    decoded = _decoded(piece, data > 0x7F)
    if decoded is None:
        return np.bincount(points_of(piece))
    counts = np.bincount(decoded.points, minlength=0x80)
    counts[:0x80] += _byte_counts(data)[:0x80]
    return counts


def _byte_counts(data: np.ndarray) -> np.ndarray:
    """How often each byte occurs: int64 `[256]`. Pairs are counted, which are half as many."""
    pairs = np.bincount(data[: len(data) // 2 * 2].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    return pairs.sum(0) + pairs.sum(1) + np.bincount(data[len(data) // 2 * 2 :], minlength=256)


class Encoded(NamedTuple):
    """The ids of a piece of so many `characters`, boundaries included, without those that are not in the vocabulary.

    `unknown` is the first of these, and how many characters are before it.
    """

    ids: np.ndarray
    characters: int
    unknown: tuple[str, int] | None = None


class Encoder:
    """Encodes pieces under a vocabulary; several threads may use it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._table, self._id_type = vocabulary.table, vocabulary.id_type
        plain = np.minimum(self._table[:256], _NOT_PLAIN).astype(np.uint8)
        ascii_only = np.where(np.arange(256) < 0x80, plain, _NOT_PLAIN).astype(np.uint8)
        self._of_bytes = {True: ascii_only.tobytes(), False: plain.tobytes()}

    def __call__(self, piece: Piece) -> Encoded:
        """The ids of a piece.

        Raises:
            CorpusError: it is a block that is not in its encoding, or binary.
        """
        if isinstance(piece, Block) and not piece.may_be_binary and (encoded := self._as_bytes(piece)):
            return encoded
        points = points_of(piece)
        ids = self._table[points]
        known = ids != UNKNOWN
        if known.all():
            return Encoded(ids.astype(self._id_type), len(ids))
        first = int(known.argmin())
        return Encoded(ids[known].astype(self._id_type), len(ids), (chr(points[first]), first))

    def _as_bytes(self, block: Block) -> Encoded | None:
        """The ids of a block most of whose bytes stand for themselves; None if they do not, or something is wrong."""
        looked_up = np.frombuffer(block.data.translate(self._of_bytes[block.encoding == "utf-8"]), np.uint8)
        decoded = _decoded(block, looked_up == _NOT_PLAIN)
        if decoded is None:
            return None
        ids, found = looked_up.astype(self._id_type), self._table[decoded.points]
        if not len(found):
            return Encoded(ids, len(ids))
        ids[decoded.places] = found.astype(self._id_type)
        kept = np.ones(len(ids), bool)
        kept[decoded.continuations] = False
        characters, strange = len(ids) - len(decoded.continuations), found == UNKNOWN
        if not strange.any():
            return Encoded(ids[kept], characters)
        first = int(strange.argmax())
        unknown = chr(decoded.points[first]), int(np.count_nonzero(kept[: decoded.places[first]]))
        kept[decoded.places[strange]] = False
        return Encoded(ids[kept], characters, unknown)
