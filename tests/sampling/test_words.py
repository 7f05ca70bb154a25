"""Where words and lines end: as a regular expression says, and only between whole characters."""

import codecs
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.sampling.words import DONE, NEVER, WITH, transitions
from charlstm.text.vocabulary import Vocabulary

CHARACTERS = Vocabulary.of_characters("\n\r -.,'\u2019_019abcZéßжא\u0301\u0e01漢字かカ한😀")
BYTES = Vocabulary.of_bytes()


def followed(vocabulary: Vocabulary, to, ids) -> tuple[int, int]:
    """How many of `ids` the continuation takes in, and what the last one that was looked at does."""
    table, phase = transitions(vocabulary, to), 0
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


@given(st.lists(st.sampled_from([0x41, 0x7F, *range(0x80, 0x100)]), max_size=5).map(bytes))
def test_of_bytes_all_utf8_is_followed_and_nothing_else(data):
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
        is_text, pending = True, decoder.getstate()[0]
    except UnicodeDecodeError:
        is_text, pending = False, b""
    taken, last = followed(BYTES, "line", data)
    assert (last == NEVER) == (not is_text)
    if is_text:
        assert taken == len(data) and (last == 0) == (pending == b"")
        # Inside a character no line ends.
        assert followed(BYTES, "line", data + b"\n")[1] == (NEVER if pending else DONE)


@pytest.mark.parametrize("vocabulary", [CHARACTERS, BYTES], ids=["characters", "bytes"])
@pytest.mark.parametrize("to", ["word", "line"])
def test_a_boundary_ends_whatever_it_stands_in(vocabulary, to):
    cut = vocabulary.with_boundary("\n")
    for before in ("", "ab", "..") if to == "word" else ("", "ab. "):
        assert followed(cut, to, [*cut.encode(before).tolist(), cut.boundary]) == (len(before), DONE)
    assert followed(cut, "word", cut.encode("ab cZ")) == (2, DONE)
