"""A sample of so many documents: where it ends, and what is left out of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import ConfigError
from charlstm.sampling import ending as endings
from charlstm.sampling.ending import Ending
from charlstm.text.corpus import open_corpus
from charlstm.text.documents import Documents
from charlstm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary("abc").with_boundary("\n")


def cut(ending: Ending, text: str, sizes: list[int], prompt: str = "") -> str:
    """What is written of `text`, if it is drawn in chunks of `sizes`."""
    ids, places = VOCABULARY.encode(text), np.cumsum(sizes)
    chunks = iter(np.split(ids, places[places < len(ids)]))
    return "".join(map(VOCABULARY.decode, ending.cut(chunks, VOCABULARY.encode_prompt(prompt))))


def known(tmp_path, text: str):
    (tmp_path / "own.txt").write_text(text, "utf-8")
    return open_corpus([tmp_path / "own.txt"], vocabulary=VOCABULARY, documents=Documents("lines", 1))


@given(st.text("abc\n"), st.integers(1, 5), st.lists(st.integers(1, 6)))
def test_it_ends_with_the_boundary_of_the_last_document(text, count, sizes):
    lines = text.split("\n")
    wanted = text if len(lines) <= count else "\n".join(lines[:count]) + "\n"
    assert cut(Ending.after(count, VOCABULARY), text, sizes) == wanted


@given(st.text("abc\n"), st.integers(1, 5), st.lists(st.integers(1, 6)))
def test_known_documents_are_left_out_and_unfinished_ones_with_them(tmp_path_factory, text, count, sizes):
    own = known(tmp_path_factory.mktemp("own"), "ab\na\nbc\n")
    new = [line for line in text.split("\n")[:-1] if line not in ("ab", "a", "bc")]
    written = "".join(f"{line}\n" for line in new[:count])
    assert cut(Ending.after(count, VOCABULARY, own), text, sizes) == written


def test_the_prompt_belongs_to_the_first_document(tmp_path):
    ending = Ending.after(2, VOCABULARY, known(tmp_path, "abc\nca\n"))
    assert cut(ending, "c\nc\nca\nb\nb\n", [3], prompt="ab") == "c\nb\n", "abc is known, c is not"
    assert cut(ending, "c\nc\nb\n", [3], prompt="b\nb") == "c\nc\n", "the prompt has a document of its own"


def test_a_model_that_writes_nothing_new_or_never_ends_is_stopped(tmp_path, monkeypatch):
    ending = Ending.after(2, VOCABULARY, known(tmp_path, "ab\na\n"))
    with pytest.raises(ConfigError, match="all stand in the model's own text"):
        cut(ending, "ab\n" * 2000, [128] * 100)
    monkeypatch.setattr(endings, "MAX_LENGTH", 50)
    assert cut(Ending.after(2, VOCABULARY), "a" * 1000, [10] * 100) == "a" * 60


def test_a_model_that_tells_no_documents_apart_says_so():
    with pytest.raises(ConfigError, match="knows no documents"):
        Ending.after(1, Vocabulary("ab"))
