"""The text that is looked at: all of a short one, pieces of a long one, and little of a large file is read."""

import gzip
import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, CorpusError, VocabularyError
from charlstm.inspection import passage as room
from charlstm.inspection.passage import open_passage
from charlstm.model.parameters import initial_parameters
from charlstm.options import InspectOptions
from charlstm.runs.weights import load_weights
from charlstm.text.vocabulary import Vocabulary

LETTERS = "abcdefghij\n"


@pytest.fixture
def knowing(weights_of):
    """A function that makes weights of a vocabulary, for texts cut into `documents`."""

    def make(vocabulary: Vocabulary, documents: str = "whole"):
        shape = ModelConfig(vocabulary_size=len(vocabulary), layers=1, hidden_size=2, embedding_size=2, dropout=0.0)
        weights = weights_of(shape, vocabulary, initial_parameters(shape, 0))
        corpus = replace(weights.config.corpus, unit=vocabulary.unit, documents=documents)
        return replace(weights, config=replace(weights.config, corpus=corpus))

    return make


class Counting(io.FileIO):
    """A file that counts what is read of it."""

    total = 0

    def read(self, size=-1, /):
        data = super().read(size)
        Counting.total += len(data or b"")
        return data


@pytest.fixture
def counted(monkeypatch):
    """How many bytes of files were read since, as a function."""
    Counting.total = 0
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", **k: Counting(path) if "b" in mode else opened(path, mode))
    return lambda: Counting.total


def texts(weights, passage):
    return [weights.vocabulary.decode(piece) for piece in passage.pieces]


def test_a_text_that_is_typed_is_looked_at_from_its_beginning(knowing):
    weights = knowing(Vocabulary(LETTERS))
    passage = open_passage(weights, InspectOptions("abcabc"), 4, pieces=2, warm_up=3)
    assert texts(weights, passage) == ["abca"] and passage.warm_up == 0
    assert passage.where == "4 characters of the text given" and passage.characters == 4


@pytest.mark.parametrize("text", ["", "a", "xyz"])
def test_less_than_two_characters_are_no_text(knowing, text):
    with pytest.raises(CorpusError, match="no two characters"):
        open_passage(knowing(Vocabulary(LETTERS)), InspectOptions(text, unknown="skip"), 9)


def test_what_is_unknown_is_named_or_left_out(knowing, tmp_path):
    weights, path = knowing(Vocabulary(LETTERS)), tmp_path / "text.txt"
    path.write_text("ab?cd")
    for options in InspectOptions("ab?cd"), InspectOptions(file=path):
        with pytest.raises(VocabularyError, match=r"'\?' \(U\+003F\)"):
            open_passage(weights, options, 9)
        assert texts(weights, open_passage(weights, replace(options, unknown="skip"), 9)) == ["abcd"]


def test_pieces_of_the_validation_part_are_evenly_spread(trained_run, corpus, text_file):
    weights = load_weights(trained_run.path)
    held_out, own = corpus.split(0.1)[1], InspectOptions(own_text=text_file)
    passage = open_passage(weights, own, 30, pieces=3, warm_up=5)
    assert [len(piece) for piece in passage.pieces] == [15, 15, 15] and passage.characters == 30
    np.testing.assert_array_equal(passage.pieces[0], held_out[:15])
    np.testing.assert_array_equal(passage.pieces[2], held_out[-15:])
    assert passage.where == "30 characters of the validation part in 3 pieces"
    whole = open_passage(weights, own, 10**6, pieces=3, warm_up=5)
    np.testing.assert_array_equal(whole.pieces[0], held_out)
    assert whole.warm_up == 0 and whole.characters == len(held_out)


def test_without_a_validation_part_a_text_is_asked_for(trained_run, text_file):
    weights = load_weights(trained_run.path)
    training = replace(weights.config.training, validation=0.0)
    with pytest.raises(ConfigError, match="no validation part"):
        weights = replace(weights, config=replace(weights.config, training=training))
        open_passage(weights, InspectOptions(own_text=text_file), 9)


@pytest.mark.parametrize(
    ("vocabulary", "first", "last"),
    [
        (Vocabulary.of_bytes(), "\0\0", "\xc3\xa9"),
        (Vocabulary("é漢\U0001f469"), "", "é"),
    ],
    ids=["bytes", "characters"],
)
def test_of_a_large_file_pieces_are_read_and_no_more(knowing, tmp_path, counted, vocabulary, first, last):
    path, size = tmp_path / "large", 100_000_000
    with open(path, "wb") as file:  # noqa: PTH123 - of which nothing is counted
        if vocabulary.unit == "byte":
            file.seek(size - 2)
            file.write("é".encode())  # the rest is a hole
        else:
            for _ in range(100):
                file.write("漢é\U0001f469é".encode() * 90_000)
    weights = knowing(vocabulary)
    passage = open_passage(weights, InspectOptions(file=path), 1000, pieces=10, warm_up=20)
    assert [len(piece) for piece in passage.pieces] == [120] * 10 and passage.characters == 1000
    assert texts(weights, passage)[0].startswith(first)
    assert counted() < 20_000
    if vocabulary.unit == "character":  # no piece begins within a character
        assert all(text in "漢é\U0001f469é" * 40 for text in texts(weights, passage))


def test_pieces_of_a_large_file_are_where_they_should_be(knowing, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_LARGE", 100)
    weights, path = knowing(Vocabulary(LETTERS)), tmp_path / "text.txt"
    text = "".join(LETTERS[n * n % 11] for n in range(5000))
    for mark in "", "\ufeff":
        path.write_text(mark + text, "utf-8")
        found = texts(weights, open_passage(weights, InspectOptions(file=path), 20, pieces=2))
        assert found[0] == text[:10] and len(found[1]) == 10 and found[1] in text[-44:]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [(b"ab\0c" * 200, None, "NUL"), (b"ab\xff" * 200, None, "0xff"), (b"abc" * 200, "nonsense", "encoding")],
)
def test_a_large_file_that_is_no_text_is_refused_as_a_small_one_is(
    knowing, tmp_path, monkeypatch, content, encoding, message
):
    path = tmp_path / "file"
    path.write_bytes(content)
    for least in (1 << 22, 100):
        monkeypatch.setattr(room, "_LARGE", least)
        with pytest.raises((ConfigError, CorpusError), match=message):
            open_passage(knowing(Vocabulary(LETTERS)), InspectOptions(file=path, encoding=encoding), 10)


def test_packed_texts_are_what_they_hold_and_bytes_are_bytes(knowing, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_LARGE", 100)
    path, text = tmp_path / "text.gz", "".join(LETTERS[n * n % 11] for n in range(3000))
    path.write_bytes(gzip.compress(text.encode(), 0))
    weights = knowing(Vocabulary(LETTERS))
    assert texts(weights, open_passage(weights, InspectOptions(file=path), 5)) == [text[:5]]
    weights = knowing(Vocabulary.of_bytes())
    assert texts(weights, open_passage(weights, InspectOptions(file=path), 2)) == ["\x1f\x8b"]


def test_standard_input_is_read_once(knowing, monkeypatch):
    weights = knowing(Vocabulary(LETTERS))
    for least in (1 << 22, 100):
        monkeypatch.setattr(room, "_LARGE", least)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abcdefg\n" * 50)))
        passage = open_passage(weights, InspectOptions(file="-"), 5)
        assert texts(weights, passage) == ["abcde"] and passage.where == "5 characters of standard input"


def test_documents_have_their_boundaries(knowing, tmp_path):
    weights, path = knowing(Vocabulary(LETTERS).with_boundary("\n"), "lines"), tmp_path / "text.txt"
    path.write_text("ab\n\n\ncd\n")
    boundary = weights.vocabulary.boundary
    [piece] = open_passage(weights, InspectOptions(file=path), 99).pieces
    assert [place for place, number in enumerate(piece) if number == boundary] == [0, 3, 6]
    [piece] = open_passage(weights, InspectOptions("ab"), 99).pieces
    assert piece.tolist() == [boundary, 0, 1]


def test_a_file_that_is_not_there_is_named(knowing, tmp_path):
    with pytest.raises(CorpusError, match=r"nowhere\.txt"):
        open_passage(knowing(Vocabulary(LETTERS)), InspectOptions(file=tmp_path / "nowhere.txt"), 9)
