"""Where words and lines end: an automaton over the symbols of a vocabulary.

A word is made of letters, digits and underscores; marks and apostrophes go on with it, but do not begin one. In scripts
that put no spaces between words (Han, kana, Thai and its neighbours) each character is a word, much as in UAX #29.
What comes before the next word belongs to a continuation, so that "The tide" goes on with " is" as well as with "s".

Of bytes, all above 127 are letters, and only sequences that are UTF-8 are followed: characters stay whole.
"""

import re
import unicodedata

import numpy as np

from charlstm.options import To
from charlstm.text.vocabulary import Vocabulary

DONE = -1  # the continuation ends before this symbol
WITH = -2  # the continuation ends with this symbol
NEVER = -3  # no continuation has it here

_BEFORE, _INSIDE = 0, 1  # phases: no word yet, inside one
_ALONE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Phases inside a character in UTF-8 (RFC 3629, section 4), by what may follow: a range, and the phase after it.
_UTF8 = {
    0: [(0xC2, 0xDF, 1), (0xE0, 0xE0, 4), (0xE1, 0xEC, 2), (0xED, 0xED, 5), (0xEE, 0xEF, 2), (0xF0, 0xF0, 6),
        (0xF1, 0xF3, 3), (0xF4, 0xF4, 7)],
    1: [(0x80, 0xBF, 0)], 2: [(0x80, 0xBF, 1)], 3: [(0x80, 0xBF, 2)],
    4: [(0xA0, 0xBF, 1)], 5: [(0x80, 0x9F, 1)], 6: [(0x90, 0xBF, 2)], 7: [(0x80, 0x8F, 2)],
}  # fmt: skip


def transitions(vocabulary: Vocabulary, to: To) -> np.ndarray:
    """What each symbol does in each phase: the next phase, or `DONE`, `WITH`, `NEVER`; int8 `[phases, V]`.

    Every continuation starts in phase 0.
    """
    columns = [_of_line(each) if to == "line" else _of_word(each) for each in vocabulary.symbols]
    table = np.array(columns, np.int8).T
    if vocabulary.boundary is not None:  # it ends words and lines
        table = np.insert(table, vocabulary.boundary, DONE, axis=1)
    return table if vocabulary.unit == "character" else _in_utf8(table, vocabulary)


def _of_line(character: str) -> tuple[int]:
    return (DONE if character in "\n\r" else 0,)


def _of_word(character: str) -> tuple[int, int]:
    """What a character does before a word and inside one."""
    if _ALONE.match(character):
        return WITH, DONE
    if character.isalnum() or character == "_":
        return _INSIDE, _INSIDE
    if character in "'\u2019" or unicodedata.category(character)[0] == "M":
        return _BEFORE, _INSIDE
    return _BEFORE, DONE


def _in_utf8(table: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """The automaton of ASCII with one of UTF-8 inside: of phase p, and u inside a character, the number is u P + p."""
    P, V = table.shape
    boundary = vocabulary.boundary
    places = np.delete(np.arange(V), boundary) if boundary is not None else np.arange(V)  # byte -> id
    phases = np.full((len(_UTF8), P, V), NEVER, np.int8)
    phases[0][:, places[:0x80]] = table[:, places[:0x80]]
    if boundary is not None:
        phases[0][:, boundary] = DONE
    for inside, ranges in _UTF8.items():
        for first, last, then in ranges:
            for phase in range(P):
                whole = min(1, P - 1)  # a letter: inside a word, or on in the line
                phases[inside, phase, places[first : last + 1]] = then * P + phase if then else whole
    return phases.reshape(-1, V)
