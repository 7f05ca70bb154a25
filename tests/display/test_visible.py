"""Foreign text on a terminal."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.display.visible import visible, visible_in_line, visible_pieces

ANY = st.text(st.characters(codec=None) | st.sampled_from("\r\n\t\x1b\x9b\u202e\udcff"))


@given(ANY)
def test_nothing_that_a_terminal_obeys_is_left(text):
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")]
    assert visible(shown) == shown


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.sampled_from("\n\t")))
def test_all_other_text_stays_as_it_is(text):
    assert visible(text) == text


@given(ANY, st.lists(st.integers(0, 30), max_size=6))
def test_pieces_are_shown_as_the_whole_is(text, cuts):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert "".join(visible_pieces(pieces)) == visible(text)


def test_each_piece_comes_at_once():
    asked = []

    def pieces():
        for piece in ("one\r", "\ntwo", "\r", "", "\n", "\n"):
            asked.append(piece)
            yield piece

    shown = visible_pieces(pieces())
    for number, piece in enumerate(["one\n", "two", "\n", "", "", "\n"], 1):
        assert next(shown) == piece and len(asked) == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\a\0\x7f", "␛[2J␇␀␡"),
        ("a\rb\r\nc", "a\nb\nc"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u202egnp.exe\u2069\ufeff", "\\u202egnp.exe\\u2069\\ufeff"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("e\u0301 👩\u200d👩\u200d👧 漢字 עברית", "e\u0301 👩\u200d👩\u200d👧 漢字 עברית"),
    ],
)
def test_control_characters_have_pictures_and_others_escapes(text, shown):
    assert visible(text) == shown


def test_a_line_shows_what_could_not_be_seen():
    shown = {" is": "␣is", "a ": "a␣", " ": "␣", "  a b\n": "␣␣a b␤", "\t": "␉", "": "", "\x1b[": "␛["}
    for text, line in shown.items():
        assert visible_in_line(text) == line
        assert visible_in_line(text, mark_edges=False) == line.replace("␣", " ")
