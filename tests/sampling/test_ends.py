"""Ends: the same wherever a text is torn."""

from collections.abc import Collection
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import ConfigError
from charlstm.sampling import ends
from charlstm.sampling.ends import Ends, Watch, hashes_of
from charlstm.text.corpus import open_corpus
from charlstm.text.documents import Documents
from charlstm.text.vocabulary import Vocabulary

PLAIN, LINES, FILES = Vocabulary("\nabc"), Vocabulary("abc").with_boundary("\n"), Vocabulary("abc").with_boundary("")
TEXT, SIZES = st.text("abc\n", max_size=30), st.lists(st.integers(0, 6))
WORD = st.text("abc", min_size=1, max_size=4)


def cut(waited_for: Ends, ids: np.ndarray, sizes: list[int], prompt: str = "") -> tuple[str, str | None]:
    """What is written of `ids` that are drawn in chunks of `sizes`, and why it ends."""
    watch, written, kept = Watch(waited_for, waited_for.vocabulary.encode_prompt(prompt)), "", list[float]()
    places = [0, *(place for place in np.cumsum(sizes, dtype=int) if place < len(ids)), len(ids)]
    why = None
    for start, end in pairwise(places):
        piece = watch.cut(ids[start:end], -ids[start:end].astype(float))
        assert (piece.ids == -piece.log_probabilities).all()
        written, kept, why = written + piece.text, kept + piece.log_probabilities.tolist(), piece.ended
        if why:
            break
    assert waited_for.vocabulary.decode(-np.array(kept, int)) == written, "each symbol has its log-probability"
    return written, why


def first_end(text: str, until: list[str], lines: int) -> int | None:
    """By definition: the shortest beginning that holds one of the texts or so many line ends."""
    beginnings = (text[:length] for length in range(1, len(text) + 1))
    done = (b for b in beginnings if any(each in b for each in until) or (lines and b.count("\n") >= lines))
    return next((len(each) for each in done), None)


@given(TEXT, st.lists(st.text("abc\n", min_size=1, max_size=4), max_size=3), st.integers(0, 4), SIZES)
def test_a_text_ends_at_the_first_end_however_it_is_torn(text, until, lines, sizes):
    found, why = cut(Ends(PLAIN, until, lines), PLAIN.encode(text), sizes)
    length = first_end(text, until, lines)
    assert found == text[:length] and (why is None) == (length is None)
    assert why != "until" or any(found.endswith(each) for each in until)
    assert why != "lines" or found.count("\n") == lines


@given(st.sampled_from([LINES, FILES]), TEXT, st.integers(1, 5), st.lists(WORD, max_size=1), SIZES)
def test_it_ends_with_the_boundary_of_the_last_document(vocabulary, text, count, until, sizes):
    """A boundary is written as a line end: that of lines, and that of files, too."""
    ids = LINES.encode(text)
    found, why = cut(Ends(vocabulary, until, documents=count), ids, sizes)
    length = first_end(text, until, count)
    assert found == text[:length] and (why is None) == (length is None)


def known(folder, text: str) -> Collection[int]:
    (folder / "own.txt").write_text(text, "utf-8")
    return hashes_of(open_corpus([folder / "own.txt"], vocabulary=LINES, documents=Documents("lines", 1)))


@given(TEXT, st.integers(1, 5), SIZES)
def test_known_documents_are_left_out_and_unfinished_ones_with_them(tmp_path_factory, text, count, sizes):
    hashes = known(tmp_path_factory.mktemp("own"), "ab\na\nbc\n")
    new = [line for line in text.split("\n")[:-1] if line not in ("ab", "a", "bc")]
    written = "".join(f"{line}\n" for line in new[:count])
    assert cut(Ends(LINES, documents=count, known=hashes), LINES.encode(text), sizes)[0] == written


def test_the_prompt_belongs_to_the_first_document(tmp_path):
    waited_for = Ends(LINES, documents=2, known=known(tmp_path, "abc\nca\n"))
    found = cut(waited_for, LINES.encode("c\nc\nca\nb\nb\n"), [3], prompt="ab")
    assert found == ("c\nb\n", "documents"), "abc is known, c is not"
    found = cut(waited_for, LINES.encode("c\nc\nb\n"), [3], prompt="b\nb")
    assert found == ("c\nc\n", "documents"), "the prompt has a document of its own"


def test_a_model_that_writes_nothing_new_or_never_ends_is_stopped(tmp_path, monkeypatch):
    hashes = known(tmp_path, "ab\na\n")
    with pytest.raises(ConfigError, match="all stand in the model's own text"):
        cut(Ends(LINES, documents=2, known=hashes), LINES.encode("ab\n" * 2000), [128] * 100)
    monkeypatch.setattr(ends, "MAX_LENGTH", 50)
    assert cut(Ends(LINES, documents=2), LINES.encode("a" * 1000), [10] * 100) == ("a" * 60, "length")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"until": ["ab", "aж"]}, "'ж'"), ({"lines": 1}, "line ends"), ({"documents": 1}, "knows no documents")],
)
def test_what_never_comes_is_not_waited_for(options, words):
    Ends(FILES, ["a\n"], lines=1)  # a boundary is written as a line end
    Ends(Vocabulary("ab"), ["ab", "b"])
    with pytest.raises(ConfigError, match=words):
        Ends(Vocabulary("ab"), **options)
