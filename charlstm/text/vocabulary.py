"""The symbols that a model knows, in id order: characters, or the 256 bytes; and the boundary between documents."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from charlstm.errors import RunError, VocabularyError, setting
from charlstm.files import parse_json
from charlstm.options import Unit, Unknown

CODEPOINTS = 0x110000
BOUNDARY = CODEPOINTS  # stands between documents in arrays of code points: the first number that no character has
# Large texts have thousands of characters that hardly ever occur: other scripts, symbols, emoji. Too seldom to be
# learned, they would be most of the head's work. So the rarest, up to a thousandth of the text, if they are many, are
# one and the same to a model.
_RARE_SHARE = 0.001
_MIN_RARE = 256
UNKNOWN = np.uint32(0xFFFFFFFF)
_PIECE = 1 << 20  # characters that are looked up at a time, at some ten bytes each


def name_of(character: str) -> str:
    """How messages name a character: `'ж' (U+0436)`."""
    return f"{character!r} (U+{ord(character):04X})"


def codepoints(text: str) -> np.ndarray:
    """The characters of `text` as an array of uint32 code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _pieces(text: str) -> Iterator[np.ndarray]:
    """The code points of a text of any length, in pieces."""
    return (codepoints(text[start : start + _PIECE]) for start in range(0, len(text), _PIECE))


def _text(points: np.ndarray) -> str:
    """The inverse of `codepoints`."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")


@dataclass(frozen=True)
class Vocabulary:
    """An immutable, ordered set of symbols; the id of a symbol is its place.

    In the unit "byte" the symbol of id n is the character U+00n: a byte string is a text in Latin-1. The last `rare`
    symbols are those that a model does not tell apart.

    `boundary` is the id of the symbol that stands between documents, if there is one. It is no character and has no
    place in `symbols`: those after it have the id of their place plus one. In a text it is the `separator`, in symbols;
    the boundary between files, which takes no room in them, is written as a line end.
    """

    symbols: str
    unit: Unit = "character"
    rare: int = 0
    boundary: int | None = None
    separator: str = ""

    @classmethod
    def of_bytes(cls) -> "Vocabulary":
        """The 256 bytes, whether or not a text has them all."""
        return cls("".join(map(chr, range(256))), "byte")

    @classmethod
    def of_characters(cls, characters: Iterable[str]) -> "Vocabulary":
        """The distinct characters in code point order."""
        return cls("".join(sorted(set(characters))))

    @classmethod
    def of_counts(cls, counts: np.ndarray) -> "Vocabulary":
        """The characters that occur in a text, by how often each code point does: int64 `[0x110000]`.

        In code point order; the rare ones, if there are any, after the others.
        """
        points = np.flatnonzero(counts)
        rising = points[np.argsort(counts[points], kind="stable")]
        rare = int((np.cumsum(counts[rising]) <= _RARE_SHARE * counts.sum()).sum())
        rare = rare if rare >= _MIN_RARE else 0
        symbols = np.concatenate([np.sort(rising[rare:]), np.sort(rising[:rare])])
        return cls("".join(map(chr, symbols)), rare=rare)

    def with_boundary(self, separator: str) -> "Vocabulary":
        """The same with a boundary, after the symbols that are not rare; in a text it is `separator`, in symbols."""
        return replace(self, boundary=len(self.symbols) - self.rare, separator=separator)

    def __len__(self) -> int:
        return len(self.symbols) + (self.boundary is not None)

    @cached_property
    def table(self) -> np.ndarray:
        """The id of every code point and of `BOUNDARY`, `UNKNOWN` where it has none: uint32 `[0x110001]`."""
        table = np.full(CODEPOINTS + 1, UNKNOWN, np.uint32)
        table[self.points] = np.arange(len(self), dtype=np.uint32)
        return table

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """How many bytes each symbol takes in UTF-8 (as a byte: 1), a boundary its separator: int64 `[V]`."""
        steps = [] if self.unit == "byte" else [0x80, 0x800, 0x10000]
        lengths = 1 + np.searchsorted(steps, self.points, side="right")
        if self.boundary is not None:
            lengths[self.boundary] = len(self.to_bytes(self.separator))
        return lengths

    @cached_property
    def in_word(self) -> np.ndarray:
        """Whether words are made of a symbol: a letter, a digit, `_`, a byte that is not ASCII. Bool `[V]`."""

        def is_in_word(point: int) -> bool:
            if point == BOUNDARY:
                return False
            return chr(point).isalnum() or point == ord("_") or (self.unit == "byte" and point > 0x7F)

        return np.array([is_in_word(point) for point in self.points.tolist()], bool)

    @cached_property
    def points(self) -> np.ndarray:
        """The code point of every id, `BOUNDARY` for the boundary: uint32 `[V]`."""
        points = codepoints(self.symbols)
        return points if self.boundary is None else np.insert(points, self.boundary, np.uint32(BOUNDARY))

    @property
    def id_type(self) -> type[np.unsignedinteger]:
        """The smallest unsigned type that holds every id."""
        return next(t for t in (np.uint8, np.uint16, np.uint32) if len(self) - 1 <= np.iinfo(t).max)

    def encode(self, text: str) -> np.ndarray:
        """The ids of `text`; where there is a boundary, its separator in the text is one.

        Raises:
            VocabularyError: a character is unknown; all unknown ones are named.
        """
        pieces, unknown = [np.zeros(0, self.id_type)], dict[int, None]()
        for points in self._cut(text):
            ids = self.table[points]
            unknown |= dict.fromkeys(points[ids == UNKNOWN].tolist())
            pieces.append(ids.astype(self.id_type))
        if unknown:
            raise self.unknown_error("".join(map(chr, unknown)))
        return np.concatenate(pieces)

    def decode(self, ids: np.ndarray) -> str:
        """The text of `ids`, the inverse of `encode`."""
        return self.text_of_points(self.points[np.asarray(ids)])

    def points_of(self, text: str) -> np.ndarray:
        """The code points of `text`, known or not: uint32; where there is a boundary, its separator is `BOUNDARY`."""
        return np.concatenate([np.zeros(0, np.uint32), *self._cut(text)])

    def text_of_points(self, points: np.ndarray) -> str:
        """The inverse of `points_of`."""
        if self.boundary is None or not (at := points == BOUNDARY).any():
            return _text(points)
        written = codepoints(self.separator or "\n")
        repeats = np.where(at, len(written), 1)
        points = np.repeat(points, repeats)
        points[np.repeat(at, repeats)] = np.tile(written, at.sum())
        return _text(points)

    def encode_prompt(self, prompt: str) -> np.ndarray:
        """The ids that a model reads before it writes: those of `prompt`, after a boundary if there is one.

        Without a prompt it starts as after a boundary, or else a line end or, if it knows neither, its first symbol.

        Raises:
            VocabularyError: the prompt has unknown characters.
        """
        if self.boundary is not None:
            return np.concatenate([np.array([self.boundary], self.id_type), self.encode(prompt)])
        return self.encode(prompt or ("\n" if "\n" in self.symbols else self.symbols[0]))

    def symbols_of(self, text: str) -> str:
        """`text` in this vocabulary's symbols: in the unit "byte", a character for each of its UTF-8 bytes.

        Raises:
            VocabularyError: half of a surrogate pair, for which no bytes stand.
        """
        if self.unit == "character":
            return text
        try:
            return text.encode("utf-8", "surrogateescape").decode("latin-1")
        except UnicodeEncodeError as error:
            half = name_of(text[error.start])
            raise VocabularyError(f"{half} is half of a surrogate pair", "no bytes stand for it") from None

    def known_symbols(self, text: str, unknown: Unknown = "error") -> str:
        """`symbols_of` a text, without those that have no id if `unknown` is "skip".

        Raises:
            VocabularyError: `unknown` is "error", and there are some.
        """
        symbols = self.symbols_of(text)
        if unknown == "skip":
            return self.keep_known(symbols)
        self.encode(symbols)
        return symbols

    def text_of(self, symbols: str) -> str:
        """The inverse of `symbols_of`; bytes that are no UTF-8 become lone surrogates."""
        return symbols.encode("latin-1").decode("utf-8", "surrogateescape") if self.unit == "byte" else symbols

    def to_bytes(self, symbols: str) -> bytes:
        """What to write to a file or terminal for `symbols`: UTF-8, or the bytes themselves."""
        return symbols.encode("latin-1") if self.unit == "byte" else symbols.encode("utf-8", "surrogatepass")

    def keep_known(self, text: str) -> str:
        """`text` without the characters that have no id."""
        return "".join(
            self.separator if points[0] == BOUNDARY else _text(points[self.table[points] != UNKNOWN])
            for points in self._cut(text)
        )

    def _cut(self, text: str) -> Iterator[np.ndarray]:
        """The code points of a text of any length, in pieces; where there is a boundary, each separator is a piece."""
        if self.boundary is None or not self.separator:
            yield from _pieces(text)
            return
        for number, document in enumerate(text.split(self.separator)):
            if number:
                yield np.array([BOUNDARY], np.uint32)
            yield from _pieces(document)

    def grow(self, other: "Vocabulary") -> "Vocabulary":
        """This vocabulary with the symbols of `other` that it lacks after its own, so that no id changes.

        Only rare symbols move: they stay the last ones, and those that `other` has often are rare no longer. A boundary
        that is new comes first among what is new.
        """
        known = self.symbols[: len(self.symbols) - self.rare]
        frequent = _union(known, other.symbols[: len(other.symbols) - other.rare])
        symbols = _union(frequent, _union(self.symbols, other.symbols))
        boundary, separator = self.boundary, self.separator
        if other.boundary is not None:
            boundary, separator = len(known) if boundary is None else boundary, other.separator
        return Vocabulary(symbols, self.unit, len(symbols) - len(frequent), boundary, separator)

    def unknown_error(self, unknown: str, position: int | None = None) -> VocabularyError:
        """The error for characters that this vocabulary lacks; `position` counts characters from 1."""
        shown = ", ".join(map(name_of, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        place = "" if position is None else f" at character {position:,}"
        verb = "is" if len(unknown) == 1 else "are"
        escapes = (
            f"; {setting('escapes', True)} reads \\n and the like as what they stand for" if "\\" in unknown else ""
        )
        return VocabularyError(
            f"{shown}{place} {verb} not among the {len(self.symbols)} characters this model knows",
            f"{setting('unknown', 'skip')} leaves such characters out{escapes}",
        )

    def to_json(self) -> str:
        """This vocabulary as JSON text in ASCII."""
        own = {"unit": self.unit, "symbols": self.symbols, "rare": self.rare}
        return json.dumps(
            own if self.boundary is None else own | {"boundary": self.boundary, "separator": self.separator}
        )

    @classmethod
    def from_json(cls, text: str, where: str) -> "Vocabulary":
        """The inverse of `to_json`.

        Raises:
            RunError: `text` is not such JSON; `where` names the file.
        """
        damaged = RunError(f"{where} does not hold a vocabulary", "the file is damaged; train again or use a copy")
        try:
            data = parse_json(text)
        except ValueError:
            data = None
        match data:
            case {"symbols": str(symbols), "unit": "character", "rare": int(rare)} if 0 < len(symbols) == len(
                set(symbols)
            ) and 0 <= rare < len(symbols):
                vocabulary = cls(symbols, rare=rare)
            case {"symbols": symbols, "unit": "byte", "rare": 0} if symbols == cls.of_bytes().symbols:
                vocabulary = cls.of_bytes()
            case _:
                raise damaged
        match data:
            case {"boundary": int(boundary), "separator": str(separator)} if (
                0 <= boundary <= len(vocabulary.symbols) - vocabulary.rare
            ):
                return replace(vocabulary, boundary=boundary, separator=separator)
            case {"boundary": _}:
                raise damaged
        return vocabulary


def _union(symbols: str, more: str) -> str:
    """`symbols`, and those of `more` that are not among them."""
    return "".join(dict.fromkeys(symbols + more))
