"""Where words and lines end: as a regular expression says, and only between whole characters."""

import itertools
import re
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.sampling.words import DONE, NEVER, WITH, transitions
from charlstm.text.vocabulary import Vocabulary

CHARACTERS = Vocabulary.of_characters("\n\r -.,'\u2019_019abcZéßжא\u0301\u0e01漢字かカ한😀")
BYTES = Vocabulary.of_bytes()


tables = lru_cache(transitions)


def followed(vocabulary: Vocabulary, to, ids) -> tuple[int, int]:
    """How many of `ids` the continuation takes in, and what the last one that was looked at does."""
    table, phase = tables(vocabulary, to), 0
    for place, each in enumerate(ids):
        phase = int(table[phase, each])
        if phase < 0:
            return place + (phase == WITH), phase
    return len(ids), phase


@given(st.text(CHARACTERS.symbols, max_size=12), st.sampled_from(["word", "line"]))
def test_a_continuation_is_what_a_regular_expression_says(text, to):
    alone = r"[\u0e01漢字かカ]"
    letter = rf"(?!{alone})\w"
    word = rf"[^\w]*({alone}|{letter}(?:{letter}|['\u2019\u0301])*)"
    expected = re.match(word if to == "word" else r"[^\n\r]*", text)
    taken, last = followed(CHARACTERS, to, CHARACTERS.encode(text))
    if last < 0:
        assert expected and expected.end() == taken
    else:  # it goes on, so far
        assert taken == len(text) and (expected is None or expected.end() == len(text))


MORE = [
    (),
    (0x80,),
    (0x80, 0x80),
    (0x80, 0x80, 0x80),
    (0xA0, 0x80),
    (0x90, 0x80, 0x80),
]  # what may complete a character


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_of_bytes_all_utf8_is_followed_and_nothing_else():
    edges = (0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    seconds = [(second,) for second in edges]
    thirds = [(second, third) for second in edges for third in (0x41, 0x80, 0xBF, 0xC2)]
    for first, rest in itertools.product(range(0x7F, 0x100), [(), *seconds, *thirds]):
        data = bytes([first, *rest])
        is_whole = is_utf8(data)
        begins_one = any(is_utf8(data + bytes(more)) for more in MORE)
        taken, last = followed(BYTES, "line", data)
        assert (last == NEVER) == (not begins_one), data
        if begins_one:
            assert taken == len(data) and (last == 0) == is_whole, data
            # Inside a character no line ends.
            assert followed(BYTES, "line", data + b"\n")[1] == (DONE if is_whole else NEVER), data


@pytest.mark.parametrize("vocabulary", [CHARACTERS, BYTES], ids=["characters", "bytes"])
@pytest.mark.parametrize("to", ["word", "line"])
def test_a_boundary_ends_whatever_it_stands_in(vocabulary, to):
    cut = vocabulary.with_boundary("\n")
    for before in ("", "ab", "..") if to == "word" else ("", "ab. "):
        assert followed(cut, to, [*cut.encode(before).tolist(), cut.boundary]) == (len(before), DONE)
    assert followed(cut, "word", cut.encode("ab cZ")) == (2, DONE)
