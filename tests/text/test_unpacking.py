"""Packed texts, as what they hold: whole, in any number of pieces, and never more of them in memory than is needed."""

import bz2
import gzip
import io
import lzma
import random
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import CorpusConfig
from charlstm.errors import CorpusError
from charlstm.files import cache_folder
from charlstm.runs.texts import reopen
from charlstm.text import corpus as corpora
from charlstm.text.corpus import open_corpus, read_prompt_file
from charlstm.text.sources import locate
from charlstm.text.unpacking import is_packed, size_of, unpacked

TEXT = "Salt on the road, and a ferry so fär.\n" * 20
PACKERS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
each_packer = pytest.mark.parametrize("packer", PACKERS)


def held(data: bytes, cut: int = 1 << 22) -> bytes:
    return b"".join(unpacked((data[place : place + cut] for place in range(0, len(data), cut)), "text"))


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), st.sampled_from([*PACKERS]), st.integers(1, 5000))
def test_all_that_was_packed_comes_out_however_it_comes_in(texts, packer, cut):
    assert held(b"".join(map(PACKERS[packer], texts)), cut) == b"".join(texts)


@given(st.binary(max_size=40) | st.sampled_from([b"BZh", b"BZh9 was here, and so was BZh1AY", b"\x1f\x8b", b"(\xb5/"]))
def test_what_nothing_has_packed_stays_as_it_is(data):
    assert held(data, 1) == data == held(data)


@each_packer
@pytest.mark.parametrize("unit", ["character", "byte"])
def test_a_packed_text_is_the_text_and_its_bytes_are_bytes(tmp_path, packer, unit):
    path = tmp_path / "text"
    path.write_bytes(PACKERS[packer](TEXT.encode()))
    assert is_packed(path) and size_of(path) == len(TEXT.encode())
    corpus = open_corpus([path], unit)
    shown = corpus.vocabulary.decode(corpus.ids)
    assert shown == (TEXT if unit == "character" else path.read_bytes().decode("latin-1")) == read(path, unit)


def read(path: Path, unit) -> str:
    return read_prompt_file(path, unit, keep_newline=True)


@each_packer
def test_standard_input_and_folders_hold_packed_texts_too(tmp_path, monkeypatch, packer):
    data = PACKERS[packer](TEXT.encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    corpus = open_corpus(locate(["-"]))
    assert corpus.vocabulary.decode(corpus.ids) == TEXT
    (tmp_path / "a.txt").write_bytes(b"plain")
    (tmp_path / "b").write_bytes(data)
    (tmp_path / "c").write_bytes(PACKERS[packer](b"a picture\0" * 9))
    corpus = open_corpus(locate([str(tmp_path)]))
    assert corpus.vocabulary.decode(corpus.ids) == "plain" + TEXT


@each_packer
def test_what_is_cut_short_or_damaged_is_refused_by_name(tmp_path, packer):
    data = PACKERS[packer](TEXT.encode())
    path = tmp_path / "text"
    for wrong in (data[:-1], data[: len(data) // 2], data[:16], data + b"x", data + data[:17]):
        path.write_bytes(wrong)
        with pytest.raises(CorpusError, match=f"text (is damaged: {packer}|ends too early)"):
            open_corpus([path])
        assert locate([str(tmp_path)]) == [path], "a folder does not hide it"
    for place in range(len(data)):
        wrong = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
        path.write_bytes(wrong)
        try:
            corpus = open_corpus([path])
        except CorpusError:
            continue
        # Of a few bytes of the header nothing depends, such as the time when it was packed.
        assert corpus.vocabulary.decode(corpus.ids) == TEXT


@each_packer
def test_a_small_file_that_holds_a_long_text_takes_little_memory(packer):
    size = 1 << 27
    packed = PACKERS[packer](bytes(size // 2)) * 2
    tracemalloc.start()
    assert sum(map(len, unpacked(iter([packed]), "bomb"))) == size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 4


def test_many_tiny_files_in_a_row_take_no_longer_than_they_are():
    assert held(gzip.compress(b"") * 50_000 + gzip.compress(b"end")) == b"end"


def test_xz_may_not_take_all_memory():
    dear = lzma.compress(b"text", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    with pytest.raises(CorpusError, match=r"Memory usage limit"):
        held(dear)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="zstd is there")
def test_without_zstandard_it_is_said_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(CorpusError, match="zstd") as refused:
        held(PACKERS["zstd"](b"text"))
    assert "pip install 'charlstm[zstd]'" in refused.value.hint


def test_the_room_for_ids_is_that_of_what_is_held(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(corpora, "cache_folder", lambda *parts, room=0: asked.append(room) or cache_folder(*parts))
    path = tmp_path / "text"
    path.write_bytes(gzip.compress(f"{random.random()}".encode() * 20_000))
    open_corpus([path])
    assert max(asked) == size_of(path) > 20 * path.stat().st_size  # a byte an id
    asked.clear()
    open_corpus([path])
    assert asked == [0], "what is there already needs no room, and is not unpacked"


def test_a_run_of_a_folder_whose_packed_files_were_left_out_finds_its_text(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_bytes(TEXT.encode())
    before = open_corpus(locate([str(folder)]))
    (folder / "b.gz").write_bytes(gzip.compress(b"more"))
    after = open_corpus(locate([str(folder)]))
    assert after.fingerprint != before.fingerprint
    for corpus in (before, after):
        config = CorpusConfig(
            sources=[str(folder)], unit="character", encoding="utf-8", fingerprint=corpus.fingerprint,
            characters=len(corpus),
        )  # fmt: skip
        assert reopen(config, corpus.vocabulary)[0].fingerprint == corpus.fingerprint
