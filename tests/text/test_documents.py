"""Documents: where texts are cut, what stands between them, and the order in which they come."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from charlstm.errors import CorpusError, RunError, VocabularyError
from charlstm.runs.texts import own_text
from charlstm.runs.weights import Weights
from charlstm.text import documents, reading
from charlstm.text.corpus import Corpus, open_corpus
from charlstm.text.documents import Documents, boundaries, nearest_boundary
from charlstm.text.vocabulary import CODEPOINTS, Vocabulary

USES_FOLDER = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Few characters, so that what ends a document comes often, whole and in part; and any character.
SOME = st.text("ab\r\n -", max_size=40)
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TEXTS = st.lists(SOME | ANY, min_size=1, max_size=4)
KINDS = ["files", "lines", "blank-lines", "--", "aba", r"\n\n-", "a"]


def corpus_of(folder: Path, texts: list[str], kind: str, seed: int | None = None, **more) -> Corpus:
    files = [folder / f"{number}.txt" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_bytes(text.encode())
    return open_corpus(files, documents=Documents(kind, seed), **more)


def documents_of(corpus: Corpus) -> list[str]:
    ids, edges = np.asarray(corpus.ids), boundaries(corpus.ids, corpus.vocabulary.boundary)
    assert edges[0] == 0 and edges[-1] == len(ids) - 1, "one stands before the first and one after the last"
    return [corpus.vocabulary.decode(ids[a + 1 : b]) for a, b in pairwise(edges)]


def expected(texts: list[str], kind: str) -> list[str]:
    """The same of the whole text at once."""
    found = []
    for text in texts:
        if kind == "files":
            found.append(text)
        elif kind == "lines":
            found += [line.removesuffix("\r") for line in text.split("\n")[:-1]] + text.split("\n")[-1:]
        elif kind == "blank-lines":
            text = re.sub(r"\A(\r?\n)+|\r?\n\Z", "", text)
            found += re.split(r"(?:\r?\n){2,}", text)
        else:
            found += text.split(kind.replace(r"\n", "\n"))
    return [document for document in found if document]


@given(texts=TEXTS, kind=st.sampled_from(KINDS), block=st.integers(1, 50))
@example(texts=["a\r\n\r\n\n\r\nb\r\n"], kind="blank-lines", block=1)
@example(texts=["\n\na\n\r"], kind="blank-lines", block=2)
@example(texts=["a\r\r\nb\r"], kind="lines", block=2)
@example(texts=["abababa"], kind="aba", block=1)
@USES_FOLDER
def test_a_text_is_cut_as_its_kind_says_however_it_comes_in_blocks(tmp_path, monkeypatch, texts, kind, block):
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    wanted = expected(texts, kind)
    if sum(map(len, wanted)) < 2:
        with pytest.raises(CorpusError):
            corpus_of(tmp_path, texts, kind)
        return
    corpus = corpus_of(tmp_path, texts, kind)
    assert documents_of(corpus) == wanted
    assert corpus.documents == len(wanted)
    assert corpus.vocabulary.symbols == "".join(sorted(set("".join(wanted)))), "what ends a document is not in it"


@given(texts=TEXTS, kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1), block=st.integers(1, 30))
@USES_FOLDER
def test_shuffling_loses_no_document_and_makes_none(tmp_path, monkeypatch, texts, kind, seed, block):
    monkeypatch.setattr(documents, "_BLOCK", block)
    if sum(map(len, expected(texts, kind))) < 2:
        return
    in_order, shuffled = (corpus_of(tmp_path, texts, kind, each) for each in (None, seed))
    assert sorted(documents_of(shuffled)) == sorted(documents_of(in_order))
    assert shuffled.vocabulary == in_order.vocabulary and shuffled.fingerprint == in_order.fingerprint


def test_the_order_follows_from_the_seed_for_ever(tmp_path, monkeypatch):
    text = ["\n".join("abcdefghij")]
    first = "".join(documents_of(corpus_of(tmp_path, text, "lines", 7)))
    assert first == "".join(documents_of(corpus_of(tmp_path, text, "lines", 7))) == "jgchdifaeb"
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path / "cache"))
    assert first == "".join(documents_of(corpus_of(tmp_path, text, "lines", 7))), "made again"
    assert "".join(documents_of(corpus_of(tmp_path, text, "lines", 8))) != first


def test_every_character_may_stand_in_the_text(tmp_path):
    text = "".join(map(chr, [*range(1, 0xD800), *range(0xE000, CODEPOINTS)]))
    corpus = corpus_of(tmp_path, [text, text[::-1]], "files")
    assert documents_of(corpus) == [text, text[::-1]]
    assert len(corpus.vocabulary) == len(text) + 1


@given(texts=st.lists(st.binary(max_size=20), min_size=2, max_size=4), kind=st.sampled_from(["files", "lines", "é"]))
@USES_FOLDER
def test_bytes_are_cut_too(tmp_path, texts, kind):
    files = [tmp_path / str(number) for number in range(len(texts))]
    for file, data in zip(files, texts, strict=True):
        file.write_bytes(data)
    wanted = expected([data.decode("latin-1") for data in texts], "Ã©" if kind == "é" else kind)
    if sum(map(len, wanted)) > 1:
        corpus = open_corpus(files, "byte", documents=Documents(kind))
        assert documents_of(corpus) == wanted
        assert corpus.vocabulary.boundary == 256 and len(corpus.vocabulary) == 257


def test_the_whole_text_is_what_it_was(tmp_path):
    texts = ["one\n\ntwo", "three"]
    whole = corpus_of(tmp_path, texts, "whole", 5)
    assert whole.vocabulary == Vocabulary.of_characters("".join(texts)) and whole.documents == 0
    assert whole.vocabulary.decode(np.asarray(whole.ids)) == "".join(texts)
    assert "boundary" not in whole.vocabulary.to_json()


# --- the split ---


@given(st.lists(st.integers(1, 30), min_size=2, max_size=60), st.floats(0.02, 0.5))
@USES_FOLDER
def test_the_split_is_at_the_nearest_boundary_if_one_is_near(tmp_path, lengths, validation):
    corpus = corpus_of(tmp_path, ["\n".join("x" * length for length in lengths)], "lines")
    ids, edges = np.asarray(corpus.ids), boundaries(corpus.ids, corpus.vocabulary.boundary)
    training, held_out = corpus.split(validation)
    place = max(2, int((1 - validation) * len(ids)))
    shares = {int(edge): (len(ids) - edge) / len(ids) / validation for edge in edges[1:-1]}
    fair = [edge for edge, share in shares.items() if 0.6 < share < 1.9]
    if fair:
        edge = min(fair, key=lambda edge: abs(edge - place))
        assert abs(len(training) - 1 - place) <= abs(edge - place)
        assert training[-1] == held_out[0] == corpus.vocabulary.boundary
        assert list(training) + list(held_out[1:]) == list(ids)
    elif all(not 0.4 < share < 2.2 for share in shares.values()) and len(ids) - place > 1:
        assert list(training) + list(held_out) == list(ids) and len(training) == place, "a document is cut"


def test_without_validation_nothing_is_held_out(tmp_path):
    corpus = corpus_of(tmp_path, ["a\nb\nc"], "lines")
    training, held_out = corpus.split(0.0)
    assert len(training) == len(corpus) and not len(held_out)


@given(st.lists(st.booleans(), min_size=1), st.data(), st.integers(1, 9))
def test_the_nearest_boundary_is_found_in_blocks(is_boundary, data, block):
    ids = np.array(is_boundary, np.uint8)
    low, place, high = sorted(data.draw(st.tuples(*[st.integers(0, len(ids))] * 3)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documents, "_BLOCK", block)
        found = nearest_boundary(ids, 1, place, low, high)
    distances = [abs(at - place) for at in range(low, high) if ids[at]]
    assert (found is None) == (not distances)
    assert found is None or (ids[found] == 1 and low <= found < high and abs(found - place) == min(distances))


# --- the vocabulary ---


def test_a_boundary_is_a_symbol_but_no_character():
    vocabulary = Vocabulary("ab").with_boundary("\n")
    assert len(vocabulary) == 3 and vocabulary.boundary == 2 and vocabulary.symbols == "ab"
    assert list(vocabulary.encode("ab\nba")) == [0, 1, 2, 1, 0]
    assert list(vocabulary.encode_prompt("")) == [2] and list(vocabulary.encode_prompt("a")) == [2, 0]
    assert vocabulary.keep_known("a\nxb") == "a\nb"
    with pytest.raises(VocabularyError, match="among the 2 characters"):
        vocabulary.encode("x")
    assert Vocabulary("abcd", rare=2).with_boundary("").boundary == 2, "it is never rare"


@given(ANY, st.sampled_from(["\n", "\n\n", "ab", "é"]))
def test_decoding_undoes_encoding_where_there_are_boundaries(text, separator):
    vocabulary = Vocabulary.of_characters(text + "x").with_boundary(separator)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text == vocabulary.keep_known(text)
    assert (ids == vocabulary.boundary).sum() == text.count(separator)
    assert vocabulary.byte_lengths[ids].sum() == len(text.encode()), "each takes the bytes that it stands for"


def test_the_end_of_a_file_takes_no_bytes_and_is_written_as_a_line_end():
    vocabulary = Vocabulary("ab").with_boundary("")
    assert list(vocabulary.byte_lengths) == [1, 1, 0] and vocabulary.decode(np.array([0, 2, 1])) == "a\nb"


@pytest.mark.parametrize(
    "vocabulary",
    [Vocabulary("abcd", rare=1).with_boundary("\n\n"), Vocabulary.of_bytes().with_boundary("Ã©"), Vocabulary("ab")],
)
def test_a_vocabulary_with_a_boundary_survives_its_json(vocabulary):
    assert Vocabulary.from_json(vocabulary.to_json(), "here") == vocabulary


@pytest.mark.parametrize("boundary", ['"x"', "3", "-1", "null", "1.5"])
def test_a_damaged_boundary_is_an_error(boundary):
    text = f'{{"unit": "character", "symbols": "ab", "rare": 0, "boundary": {boundary}, "separator": ""}}'
    with pytest.raises(RunError, match="does not hold a vocabulary"):
        Vocabulary.from_json(text, "here")


def test_growing_keeps_every_id_with_a_boundary_on_either_side():
    plain, lines = Vocabulary("abcd", rare=1), Vocabulary("xa").with_boundary("\n")
    assert plain.grow(lines) == Vocabulary("abcxd", rare=1, boundary=3, separator="\n")
    assert list(plain.grow(lines).encode("abc\nxd")) == [0, 1, 2, 3, 4, 5]
    assert lines.grow(plain) == Vocabulary("xabcd", rare=1, boundary=2, separator="\n")
    paragraphs = Vocabulary("y").with_boundary("\n\n")
    assert lines.grow(paragraphs) == Vocabulary("xay", boundary=2, separator="\n\n")


def test_the_text_of_a_run_is_opened_in_the_same_order(tmp_path, make_run):
    corpus = corpus_of(tmp_path, ["one\ntwo\nthree\nfour\n"], "lines", 3)
    run = make_run(source=corpus)
    about = replace(run.config.corpus, sources=[str(tmp_path / "0.txt")], documents="lines", order_seed=3)
    weights = Weights(replace(run.config, corpus=about), corpus.vocabulary, None)  # type: ignore[arg-type]
    again, _ = own_text(weights)
    assert (again.ids == corpus.ids).all()
