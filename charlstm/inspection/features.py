"""Features of a text: what a reader could keep in mind, a number or yes and no at every character.

A feature is of the text up to a character and with it, as the state of a cell is; but whether a line ends soon, or is a
speaker's name, is of the whole line. Quotes and brackets are held for closed where a line is empty or a document ends,
as one that is missing would turn all that follows inside out. Of bytes those beyond ASCII are letters, neither capitals
nor vowels.

N: characters of a text.  K: features.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from charlstm.text.vocabulary import BOUNDARY, Vocabulary

NEAR = 5  # characters before a line's end
_MAX_NAME = 4  # words of a speaker's name
_VOWELS = frozenset("aeiouyæøœıαεηιουωаеёиоуыэюяєі")  # noqa: RUF001
_WITH_VOWELS = re.compile("LATIN|GREEK|CYRILLIC")  # alphabets whose letters are vowels or consonants
_CASELESS = 0x05D0  # a letter that is neither a capital nor a vowel


class Reading:
    """A text with what several features ask for; every array is `[N]`."""

    def __init__(self, points: np.ndarray) -> None:
        self.is_boundary = points == BOUNDARY
        self.points = np.where(self.is_boundary, ord("\n"), points).astype(np.int64)
        self.places = np.arange(len(points))
        self._symbols, self._numbers = np.unique(self.points, return_inverse=True)

    def where(self, test: Callable[[str], bool]) -> np.ndarray:
        """Of which characters a test holds."""
        return np.array([test(chr(symbol)) for symbol in self._symbols], bool)[self._numbers]

    def since(self, marks: np.ndarray) -> np.ndarray:
        """How many characters ago the last mark was: 0 at a mark; the first one is just before the text."""
        return self.places - np.maximum.accumulate(np.where(marks, self.places, -1))

    @staticmethod
    def count(marks: np.ndarray, resets: np.ndarray) -> np.ndarray:
        """How many marks there were since the last reset: 0 at a reset."""
        total = np.cumsum(marks)
        return total - np.maximum.accumulate(np.where(resets, total, 0))

    def depth(self, opening: str, closing: str) -> np.ndarray:
        """How many are open; what closes nothing is not counted, and a break closes all."""
        steps = self.where(lambda c: c in opening).astype(np.int64) - self.where(lambda c: c in closing)
        # Each break sinks the level below all before it, so that the lowest level so far is one since the break.
        level = np.cumsum(steps) - np.cumsum(self.breaks) * (len(steps) + 1)
        return level - np.minimum(np.minimum.accumulate(level), 0)

    @cached_property
    def is_line_end(self) -> np.ndarray:
        return self.points == ord("\n")

    @cached_property
    def begins_line(self) -> np.ndarray:
        return _before(self.is_line_end, True)

    @cached_property
    def is_space(self) -> np.ndarray:
        return self.where(str.isspace)

    @cached_property
    def is_letter(self) -> np.ndarray:
        return self.where(str.isalpha)

    @cached_property
    def is_capital(self) -> np.ndarray:
        return self.where(str.isupper)

    @cached_property
    def is_vowel(self) -> np.ndarray:
        return self.where(lambda c: unicodedata.normalize("NFD", c)[0].lower() in _VOWELS)

    @cached_property
    def in_line(self) -> np.ndarray:
        """Place in the line: its first character has 1, its end 0."""
        return self.since(self.is_line_end)

    @cached_property
    def in_word(self) -> np.ndarray:
        """Letters of the word so far; between words 0."""
        return self.since(~self.is_letter)

    @cached_property
    def breaks(self) -> np.ndarray:
        """The ends of lines that are empty, or white space only, and of documents."""
        has_text = self.count(~self.is_space, self.is_line_end) > 0
        return self.is_line_end & ~_before(has_text, False) | self.is_boundary


def _before(marks: np.ndarray, first: bool) -> np.ndarray:
    """Whether the character before is marked."""
    return np.concatenate([[first], marks[:-1]])


def _indentation(text: Reading) -> np.ndarray:
    is_margin = text.is_space & (text.since(~text.is_space | text.is_line_end) == text.in_line)
    return text.count(is_margin, text.is_line_end)


def _is_near_end(text: Reading) -> np.ndarray:
    following = Reading(text.points[::-1])
    left = following.since(following.is_line_end)[::-1]
    return (left >= 1) & (left <= NEAR)


def _is_capital_word(text: Reading) -> np.ndarray:
    return (text.in_word >= 2) & (text.count(text.is_capital, ~text.is_letter) == text.in_word)


def _previous_word(text: Reading) -> np.ndarray:
    ends = ~text.is_letter & _before(text.is_letter, False)
    lengths = np.where(ends, np.concatenate([[0], text.in_word[:-1]]), 0)
    return lengths[np.maximum.accumulate(np.where(ends, text.places, 0))]


def _is_name(text: Reading) -> np.ndarray:
    lines = "".join(map(chr, text.points)).split("\n")
    names = np.array([_names_speaker(line) for line in lines])
    return names[np.cumsum(text.begins_line) - 1] & ~text.is_line_end


def _names_speaker(line: str) -> bool:
    """`HAMLET:` or `First Citizen:`."""
    words = line.rstrip().removesuffix(":").split()
    return line.rstrip().endswith(":") and 0 < len(words) <= _MAX_NAME and all(word[0].isupper() for word in words)


def _is_quoted(text: Reading) -> np.ndarray:
    straight = text.count(text.points == ord('"'), text.breaks) % 2 == 1
    return straight | (text.depth("“«", "”»") > 0)


def _is_consonant(text: Reading) -> np.ndarray:
    has_vowels = text.where(lambda c: bool(_WITH_VOWELS.match(unicodedata.name(c, ""))))
    return text.is_letter & has_vowels & ~text.is_vowel


@dataclass(frozen=True)
class Feature:
    """`about` goes on after "high" where it is yes or no, and after "rises with" where it is a number."""

    name: str
    about: str
    is_number: bool
    compute: Callable[[Reading], np.ndarray] = field(repr=False)


def _number(name: str, about: str, compute: Callable[[Reading], np.ndarray]) -> Feature:
    return Feature(name, about, True, compute)


def _yes_or_no(name: str, about: str, compute: Callable[[Reading], np.ndarray]) -> Feature:
    return Feature(name, about, False, compute)


FEATURES = (
    _number("place in the line", "the number of characters since the line end", lambda text: text.in_line),
    _yes_or_no("end of the line", f"where the line ends within the next {NEAR} characters", _is_near_end),
    _number("lines", "the number of lines since an empty one", lambda text: text.count(text.begins_line, text.breaks)),
    _number("indentation", "the white space that the line begins with, in characters", _indentation),
    _yes_or_no("speaker's name", "on a line such as `HAMLET:` or `First Citizen:`", _is_name),
    _yes_or_no("quotes", "inside double quotes", _is_quoted),
    _yes_or_no("brackets", "inside brackets: (), [] or {}", lambda text: text.depth("([{", ")]}") > 0),
    _number("bracket depth", "the number of brackets that are open", lambda text: text.depth("([{", ")]}")),
    _number("place in the word", "the number of letters of the word so far", lambda text: text.in_word),
    _number("word before", "the number of letters of the last word that has ended", _previous_word),
    _yes_or_no("after a capital", "at a capital letter", lambda text: text.is_capital),
    _yes_or_no("capital word", "in a word of capitals, from its second letter on", _is_capital_word),
    _yes_or_no("vowel", "at a vowel", lambda text: text.is_vowel),
    _yes_or_no("consonant", "at a consonant", _is_consonant),
)


def compute_features(points: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """All `FEATURES` of a text that is given by its code points `[N]`, as numbers: float32 `[N, K]`."""
    if vocabulary.unit == "byte":
        points = np.where((points >= 0x80) & (points != BOUNDARY), _CASELESS, points)
    text = Reading(points)
    return np.stack([feature.compute(text) for feature in FEATURES], axis=1).astype(np.float32)
