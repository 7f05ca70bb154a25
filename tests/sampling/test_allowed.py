"""`only` and `ban`: what they stand for, and that something is left."""

import numpy as np
import pytest

from charlstm.errors import ConfigError
from charlstm.sampling.allowed import allowed_mask
from charlstm.text.vocabulary import Vocabulary

CHARACTERS = Vocabulary.of_characters("\n ABab01.,'éÉ٣")


def allowed(only=None, ban=None, vocabulary=CHARACTERS) -> str:
    mask = allowed_mask(vocabulary, only, ban)
    assert mask is not None and set(np.unique(mask)) <= {0, -np.inf}
    return "".join(symbol for symbol, each in zip(vocabulary.symbols, mask, strict=True) if each == 0)


@pytest.mark.parametrize(
    ("only", "ban", "left"),
    [
        ("letters", None, "ABabÉé"),
        ("letters,newlines", None, "\nABabÉé"),
        ("lower,0", None, "0abé"),
        ("ba", None, "ab"),
        ("'upper'", None, ""),
        ('",",digits', None, ",01٣"),
        ("','", None, ","),
        ("'", None, "'"),
        ('"\'"', None, "'"),
        ("punctuation", None, "',."),
        ("ascii", "spaces,punctuation,letters", "01"),
        (None, "letters", "\n ',.01٣"),
        (None, "xyz", "\n ',.01ABabÉé٣"),
    ],
)
def test_classes_and_characters(only, ban, left):
    if left:
        assert allowed(only, ban) == left
    else:
        with pytest.raises(ConfigError, match="leaves none of the 14"):
            allowed_mask(CHARACTERS, only, ban)


def test_nothing_asked_for_is_no_mask():
    assert allowed_mask(CHARACTERS, None, None) is None


def test_bytes_are_classed_as_ascii_and_named_by_their_characters():
    vocabulary = Vocabulary.of_bytes()
    assert allowed("digits", None, vocabulary) == "0123456789"
    assert set("é".encode()) == {ord(each) for each in allowed("é", None, vocabulary)}


@pytest.mark.parametrize(
    ("only", "ban", "words"),
    [
        ("ж", None, "leaves none of the 14 characters"),
        (None, "ascii,letters,digits", "ban=.* leaves no character"),
        ("ab", "letters", "beside `only='ab'` leaves no character"),
        ("letters,", None, "no list of classes"),
        (",", None, "no list of classes"),
        ("'ab", None, "no list of classes"),
        ("leters", None, "no class 'leters'"),
        (None, "Digits", "no class 'Digits'"),
    ],
)
def test_what_leaves_nothing_or_is_no_list_is_refused(only, ban, words):
    with pytest.raises(ConfigError, match=words):
        allowed_mask(CHARACTERS, only, ban)
