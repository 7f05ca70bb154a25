"""Backslash escapes in a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.cli.escapes import unescaped
from charlstm.errors import ConfigError
from charlstm.text.vocabulary import Vocabulary


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_spelled_in_escapes_is_what_was_meant(text):
    assert unescaped("".join(f"\\U{ord(c):08x}" for c in text), "character") == text
    assert unescaped(text.replace("\\", "\\\\"), "character") == text
    assert unescaped(repr(text)[1:-1], "character") == text, "Python's own escapes are among them"


@given(st.binary())
def test_any_bytes_can_be_spelled(data):
    spelled = "".join(f"\\x{byte:02X}" for byte in data)
    vocabulary = Vocabulary.of_bytes()
    assert vocabulary.to_bytes(vocabulary.symbols_of(unescaped(spelled, "byte"))) == data
    assert unescaped(spelled, "character") == data.decode("latin-1")


def test_every_escape_has_its_meaning():
    assert unescaped(r"\n\t\r\0\\\'\"\x41\u00e9\U0001f600", "character") == "\n\t\r\0\\'\"Aé😀"


@pytest.mark.parametrize(
    "wrong", ["\\q", "\\", "\\x4", "\\xg0", "\\u12", "\\U0011ffff", "\\ud800", "\\N{BULLET}", "\\\n", "\\1"]
)
@pytest.mark.parametrize("unit", ["character", "byte"])
def test_a_wrong_escape_is_shown(wrong, unit):
    with pytest.raises(ConfigError) as refused:
        unescaped(f"good {wrong}", unit)
    assert f"prompt holds {wrong[:2]}" in refused.value.message and r"\xHH" in refused.value.hint
