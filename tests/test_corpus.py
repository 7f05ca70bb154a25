"""Reading text: exactly, in any amount, and never a stale copy."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm import corpus as corpora
from charlstm import text as text_files
from charlstm.config import CorpusConfig
from charlstm.corpus import locate, open_corpus, reopen
from charlstm.errors import ConfigError, CorpusError, RunError, VocabularyError
from charlstm.vocabulary import Vocabulary

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=2, max_size=60)
USES_FOLDER = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def text_of(corpus: corpora.Corpus) -> str:
    return corpus.vocabulary.decode(np.asarray(corpus.ids))


@given(text=TEXT, block=st.integers(1, 9))
@USES_FOLDER
def test_a_text_is_kept_exactly_however_it_is_cut_into_blocks(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr(text_files, "_BLOCK", block)
    corpus = open_corpus([written(tmp_path / "text.txt", text)])
    assert text_of(corpus) == text
    assert corpus.vocabulary.symbols == "".join(sorted(set(text)))


def test_line_ends_and_byte_order_marks_stay(tmp_path):
    text = "\ufeffone\r\ntwo\rthree\n"
    assert text_of(open_corpus([written(tmp_path / "ends.txt", text)])) == text


def test_several_files_are_one_text(tmp_path):
    paths = [written(tmp_path / name, name * 3) for name in ("b", "a")]
    assert text_of(open_corpus(paths)) == "bbbaaa"


def test_a_folder_means_its_text_files_in_order(tmp_path):
    written(tmp_path / "b.txt", "second ")
    (tmp_path / "a").mkdir()
    written(tmp_path / "a" / "x.md", "first ")
    written(tmp_path / ".hidden", "never")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    assert text_of(open_corpus(locate([str(tmp_path)]))) == "first second "


def test_standard_input_is_found_again_by_its_content(monkeypatch):
    found = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
        found += locate(["-"])
    assert found[0] == found[1] and found[0].read_bytes() == b"from a pipe"


@pytest.mark.parametrize(("size", "kind"), [(200, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_ids_take_as_few_bytes_as_they_can(tmp_path, size, kind):
    text = "".join(map(chr, range(0x100, 0x100 + size)))
    corpus = open_corpus([written(tmp_path / "wide.txt", text)])
    assert corpus.ids.dtype == kind and isinstance(corpus.ids, np.memmap)


def test_bytes_are_read_as_they_are(tmp_path):
    path = tmp_path / "any"
    path.write_bytes(bytes(range(256)))
    corpus = open_corpus([path], unit="byte")
    assert list(corpus.ids) == list(range(256)) and len(corpus.vocabulary) == 256


def test_another_encoding_can_be_named(tmp_path):
    assert text_of(open_corpus([written(tmp_path / "old.txt", "Größe", "latin-1")], encoding="latin-1")) == "Größe"
    with pytest.raises(ConfigError, match="klingon"):
        open_corpus([tmp_path / "old.txt"], encoding="klingon")


def test_an_edited_file_is_read_anew_and_an_old_one_is_not(tmp_path, monkeypatch):
    path = written(tmp_path / "text.txt", "before")
    open_corpus([path])
    assert text_of(open_corpus([written(path, "after!")])) == "after!"
    monkeypatch.setattr(corpora, "_encode", None)  # would fail if it were called
    assert text_of(open_corpus([written(path, "before")])) == "before"


@pytest.mark.parametrize("before", [0, 3, 50])
def test_a_wrong_encoding_is_an_error_with_the_offset_of_the_byte(tmp_path, monkeypatch, before):
    monkeypatch.setattr(text_files, "_BLOCK", 7)
    path = tmp_path / "bad.txt"
    path.write_bytes("é".encode() * before + b"\xff tail")
    with pytest.raises(CorpusError, match=f"byte 0xff at offset {2 * before:,}"):
        open_corpus([path])


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"a", "single known character"), (b"abc\0d", "character 4 is a NUL")]
)
def test_what_is_no_text_is_refused(tmp_path, content, message):
    path = tmp_path / "no.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        open_corpus([path])


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CorpusError, match="no file, folder or named corpus 'nowhere'"):
        locate(["nowhere"])
    with pytest.raises(CorpusError, match="holds no text files"):
        locate([str(tmp_path)])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable to root")
def test_an_unreadable_file_is_an_error(tmp_path):
    path = written(tmp_path / "secret.txt", "text")
    path.chmod(0)
    with pytest.raises(CorpusError, match="cannot read"):
        open_corpus([path])


def test_a_strange_character_is_named_with_its_place_or_skipped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "_BLOCK", 4)
    path = written(tmp_path / "strange.txt", "abcabcжabж")
    known = Vocabulary.of_characters("abc")
    with pytest.raises(VocabularyError, match=r"'ж' \(U\+0436\) at character 7 "):
        open_corpus([path], vocabulary=known)
    corpus = open_corpus([path], vocabulary=known, unknown="skip")
    assert text_of(corpus) == "abcabcab" and corpus.skipped == 2


def test_a_run_notices_that_its_text_has_changed(tmp_path):
    path = written(tmp_path / "text.txt", "the text")
    corpus = open_corpus([path])
    config = CorpusConfig([str(path)], "character", "utf-8", corpus.fingerprint, len(corpus))
    assert text_of(reopen(config, corpus.vocabulary)) == "the text"
    written(path, "the test")
    with pytest.raises(RunError, match="has changed"):
        reopen(config, corpus.vocabulary)


@given(st.integers(2, 500), st.floats(0, 0.999))
@settings(max_examples=60)
def test_the_split_is_a_cut_from_the_end(length, validation):
    ids = np.arange(length, dtype=np.uint16)
    training, held_out = corpora.Corpus(ids, Vocabulary("ab"), "").split(validation)
    assert len(training) >= 2 and len(held_out) != 1
    if len(held_out):
        np.testing.assert_array_equal(np.concatenate([training, held_out]), ids)
        assert len(held_out) <= validation * length + 1
    else:
        assert len(training) == length


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux counts it")
def test_a_file_larger_than_the_memory_allowed_is_read(tmp_path):
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        for _ in range(400):
            file.write(b"All work and no play makes Jack a dull boy.\n" * 23_832)  # 1 MiB each
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom charlstm.corpus import open_corpus\n"
        "corpus = open_corpus([Path(sys.argv[1])])\n"
        "print(len(corpus), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    command = [sys.executable, "-c", program, str(path)]
    length, mebibytes = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert length == path.stat().st_size
    assert mebibytes < 250, f"{mebibytes} MiB for a file of 400 MiB"
