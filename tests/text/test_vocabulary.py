"""Characters and ids: there and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import RunError, VocabularyError
from charlstm.text.vocabulary import Vocabulary

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXT)
def test_decoding_undoes_encoding(text):
    vocabulary = Vocabulary.of_characters(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(TEXT)
def test_a_vocabulary_survives_its_json(text):
    vocabulary = Vocabulary.of_characters(text)
    assert Vocabulary.from_json(vocabulary.to_json(), "here") == vocabulary


@given(TEXT)
def test_byte_lengths_are_those_of_utf_8(text):
    vocabulary = Vocabulary.of_characters(text)
    assert list(vocabulary.byte_lengths) == [len(symbol.encode()) for symbol in vocabulary.symbols]


@given(TEXT, TEXT)
def test_growing_keeps_every_id_and_adds_what_was_missing(old, new):
    before, more = Vocabulary.of_characters(old), Vocabulary.of_characters(new)
    grown = before.grow(more)
    assert grown.symbols.startswith(before.symbols)
    assert set(grown.symbols) == set(old) | set(new) and len(grown) == len(set(grown.symbols))


def test_ids_follow_the_code_points():
    vocabulary = Vocabulary.of_characters("b𝄞a\nb")
    assert vocabulary.symbols == "\nab𝄞"
    assert list(vocabulary.encode("𝄞a\nb")) == [3, 1, 0, 2]


@given(TEXT, TEXT)
def test_what_was_encoded_before_growing_is_decoded_after(old, new):
    before = Vocabulary.of_characters(old)
    assert before.grow(Vocabulary.of_characters(new)).decode(before.encode(old)) == old


def counted(text: str) -> Vocabulary:
    return Vocabulary.of_counts(np.bincount(np.array([ord(c) for c in text]), minlength=0x110000))


@given(TEXT)
def test_in_a_short_text_no_character_is_rare(text):
    assert counted(text) == Vocabulary.of_characters(text)


def test_many_characters_that_hardly_occur_stand_behind_the_others():
    seldom = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    vocabulary = counted(seldom + "az一" * 100_000)
    assert vocabulary.rare == 299 and vocabulary.symbols == "az一" + seldom.replace("一", "")
    assert counted(seldom + "az一" * 99_000).rare < 299, "they are more than a thousandth of the text"
    assert counted(seldom[:200] + "az" * 150_000).rare == 0, "too few to be worth it"
    assert Vocabulary.from_json(vocabulary.to_json(), "here") == vocabulary


def test_a_rare_symbol_that_becomes_frequent_is_told_apart():
    assert Vocabulary("abcd", rare=2).grow(Vocabulary("axdy", rare=1)) == Vocabulary("abxdcy", rare=2)
    assert Vocabulary("ab").grow(Vocabulary("axy", rare=1)) == Vocabulary("abxy", rare=1)


@given(st.binary(min_size=1))
def test_bytes_are_symbols_of_their_own(data):
    vocabulary = Vocabulary.of_bytes()
    ids = vocabulary.encode(data.decode("latin-1"))
    assert bytes(ids.tolist()) == data
    assert vocabulary.to_bytes(vocabulary.decode(ids)) == data
    assert (vocabulary.byte_lengths == 1).all()


def test_a_prompt_in_a_vocabulary_of_bytes_is_its_utf_8():
    vocabulary = Vocabulary.of_bytes()
    assert vocabulary.to_bytes(vocabulary.symbols_of("ж")) == "ж".encode()
    assert vocabulary.to_bytes(vocabulary.symbols_of("\udcff")) == b"\xff"  # how Python hands over such an argument


def test_an_unknown_character_is_named_with_its_code_point():
    vocabulary = Vocabulary.of_characters("abc")
    with pytest.raises(VocabularyError, match=r"'ж' \(U\+0436\) is not among the 3 characters"):
        vocabulary.encode("abж")
    assert vocabulary.keep_known("aжb") == "ab"


def test_each_unknown_character_is_named_once_and_many_are_cut_short():
    vocabulary = Vocabulary.of_characters("ab")
    with pytest.raises(VocabularyError) as two:
        vocabulary.encode("xayxbyx")
    assert two.value.message.startswith("'x' (U+0078), 'y' (U+0079) are not among")
    with pytest.raises(VocabularyError) as many:
        vocabulary.encode("cdefghijkl")
    assert many.value.message.count("U+") == 8 and "..." in many.value.message


@given(TEXT, TEXT)
def test_what_is_kept_of_a_text_is_what_can_be_encoded(known, text):
    vocabulary = Vocabulary.of_characters(known)
    kept = vocabulary.keep_known(text)
    assert vocabulary.decode(vocabulary.encode(kept)) == kept == "".join(c for c in text if c in known)


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[]",
        "{}",
        pytest.param("[" * 100_000, id="nested too deep"),
        '{"unit": "character", "rare": 0}',
        '{"unit": "word", "symbols": "ab", "rare": 0}',
        '{"unit": "character", "symbols": "", "rare": 0}',
        '{"unit": "character", "symbols": "aba", "rare": 0}',
        '{"unit": "character", "symbols": ["a", "b"], "rare": 0}',
        '{"unit": "byte", "symbols": "ab", "rare": 0}',
        '{"unit": "character", "symbols": "ab"}',
        '{"unit": "character", "symbols": "ab", "rare": 2}',
    ],
)
def test_damaged_json_is_an_error_that_names_the_file(damaged):
    with pytest.raises(RunError, match=r"vocabulary\.json"):
        Vocabulary.from_json(damaged, "vocabulary.json")


@given(st.integers(1, 70_000))
def test_the_type_of_ids_is_the_smallest_that_fits(size):
    kind = Vocabulary("".join(map(chr, range(0x10000, 0x10000 + size)))).id_type
    assert kind is (np.uint8 if size <= 2**8 else np.uint16 if size <= 2**16 else np.uint32)


def test_words_are_made_of_letters_digits_and_what_is_not_ascii_in_bytes():
    vocabulary = Vocabulary("\n '-9A_bé中\u0301", rare=0).with_boundary("\n\n")
    found = {symbol: bool(is_in) for symbol, is_in in zip(vocabulary.symbols, vocabulary.in_word, strict=False)}
    assert {symbol for symbol, is_in in found.items() if is_in} == set("9A_bé中")
    assert len(vocabulary.in_word) == len(vocabulary) and not vocabulary.in_word[-1]  # the boundary
    assert Vocabulary.of_bytes().in_word.sum() == 10 + 26 + 26 + 1 + 128
