"""What of a file a model codes, its symbols, and what is stored aside: characters that it does not know."""

import zlib
from dataclasses import dataclass

import numpy as np

from charlstm.text.vocabulary import UNKNOWN, Vocabulary, codepoints

_UTF_8 = "utf-8"


@dataclass(frozen=True, eq=False)
class Content:
    """A file in two parts; `is_own_encoding` says that it was read in that of the model's text, and not as UTF-8.

    `aside` is empty where all is known. Otherwise it holds, packed by zlib, how many runs of known and unknown
    symbols there are in turn, their lengths, and the unknown characters.
    """

    ids: np.ndarray
    aside: bytes
    is_own_encoding: bool

    @classmethod
    def of(cls, data: bytes, vocabulary: Vocabulary, encoding: str) -> "Content":
        """The parts of a file; `encoding` is that of the model's text."""
        text, is_own = _text_of(data, vocabulary, encoding)
        points = vocabulary.points_of(text)
        ids = vocabulary.table[points]
        is_unknown = ids == UNKNOWN
        aside = _pack(points, is_unknown) if is_unknown.any() else b""
        return cls(ids[~is_unknown].astype(vocabulary.id_type), aside, is_own)

    def to_bytes(self, vocabulary: Vocabulary, encoding: str, size: int) -> bytes:
        """The file, which has `size` bytes.

        Raises:
            ValueError: the parts do not belong together, or are of a larger file.
        """
        points = vocabulary.points[self.ids]
        if self.aside:
            points = _unpack(self.aside, points, size)
        text = vocabulary.text_of_points(points)
        if vocabulary.unit == "byte":
            return text.encode("latin-1")
        return text.encode(encoding) if self.is_own_encoding else text.encode(_UTF_8, "surrogateescape")


def _text_of(data: bytes, vocabulary: Vocabulary, encoding: str) -> tuple[str, bool]:
    """A file as text that leads back to it, byte for byte, and whether it was read in `encoding`.

    Bytes that are no UTF-8 come as lone surrogates.
    """
    if vocabulary.unit == "byte":
        return data.decode("latin-1"), False
    try:
        text = data.decode(encoding)
        if encoding != _UTF_8 and text.encode(encoding) == data:
            return text, True
    except ValueError:
        pass
    return data.decode(_UTF_8, "surrogateescape"), False


def _pack(points: np.ndarray, is_unknown: np.ndarray) -> bytes:
    edges = np.flatnonzero(np.diff(is_unknown, prepend=False, append=False))
    lengths = np.diff(edges, prepend=0).astype("<i8")  # of known ones, of unknown ones, and so on
    unknown = points[is_unknown].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    header = np.array([len(lengths)], "<i8")
    return zlib.compress(header.tobytes() + lengths.tobytes() + unknown.encode("utf-8", "surrogatepass"), 9)


def _unpack(aside: bytes, known: np.ndarray, size: int) -> np.ndarray:
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(aside, 24 * size + 64)  # two lengths and a character of a byte are fewer
    except zlib.error as error:
        raise ValueError(str(error)) from error
    count = int(np.frombuffer(data, "<i8", 1)[0])
    lengths = np.frombuffer(data, "<i8", count, 8)
    unknown = codepoints(data[8 * (1 + count) :].decode("utf-8", "surrogatepass"))
    is_whole = decoder.eof and count % 2 == 0 and lengths.min() >= 0 and lengths.max() <= size
    if not is_whole or lengths[::2].sum() > len(known) or lengths[1::2].sum() != len(unknown):
        raise ValueError("the lengths are not those of the parts")
    # In front of which known symbol each unknown one stands.
    return np.insert(known, np.repeat(np.cumsum(lengths[::2]), lengths[1::2]), unknown)
