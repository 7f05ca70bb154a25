"""Ends: the same wherever a text is torn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import ConfigError
from charlstm.sampling.ends import Ends, check_ends
from charlstm.text.vocabulary import Vocabulary

TEXT = st.text("ab\n", max_size=30)


def first_end(text: str, until: list[str], lines: int) -> int | None:
    """By definition: the shortest beginning that holds one of the texts or so many line ends."""
    beginnings = (text[:length] for length in range(len(text) + 1))
    done = (b for b in beginnings if any(each in b for each in until) or (lines and b.count("\n") >= lines))
    return next((len(each) for each in done), None)


@given(st.lists(TEXT, max_size=9), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3), st.integers(0, 4))
def test_a_text_ends_at_the_first_end_however_it_is_torn(pieces, until, lines):
    ends, found, why = Ends(until, lines), "", None
    for piece in pieces:
        kept, why = ends.cut(piece)
        found += kept
        if why:
            break
    length = first_end("".join(pieces), until, lines)
    assert found == "".join(pieces)[:length] and (why is None) == (length is None)
    assert why != "until" or any(found.endswith(each) for each in until)
    assert why != "lines" or found.count("\n") == lines


def test_what_never_comes_is_not_waited_for():
    vocabulary = Vocabulary.of_characters("ab")
    check_ends(vocabulary, ["ab", "b"], 0)
    with pytest.raises(ConfigError, match="'ж'"):
        check_ends(vocabulary, ["ab", "aж"], 0)
    with pytest.raises(ConfigError, match="line ends"):
        check_ends(vocabulary, [], 1)
