"""What the beginning of a file says."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CorpusError
from charlstm.text.corpus import open_corpus, read_prompt_file
from charlstm.text.signatures import signature_of

TEXT = "Salt on the road, and a ferry.\n" * 20


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("text", TEXT)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "what", "way_out"),
    [
        (gzip.compress(gzip.compress(TEXT.encode(), mtime=0), mtime=0), "gzip", "gunzip"),
        (gzip.compress(bz2.compress(TEXT.encode()), mtime=0), "bzip2", "bunzip2"),
        (bz2.compress(lzma.compress(TEXT.encode())), "xz", "unxz"),
        (lzma.compress(b"\x28\xb5\x2f\xfd\x20\0\xff"), "zstd", "unzstd"),
        (gzip.compress(TEXT.encode("utf-16"), mtime=0), "UTF-16", "utf-16"),
        (zipped(), "zip", "take the text out"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF", "pdftotext"),
        (TEXT.encode("utf-16"), "UTF-16", "utf-16"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16", "utf-16"),
        (TEXT.encode("utf-32"), "UTF-32", "utf-32"),
        (TEXT.encode("utf-16-le"), "UTF-16-LE", "utf-16-le"),
        (TEXT.encode("utf-16-be"), "UTF-16-BE", "utf-16-be"),
        (TEXT.encode("utf-32-be"), "UTF-32-BE", "utf-32-be"),
        (TEXT.encode("utf-32-le"), "UTF-32-LE", "utf-32-le"),
    ],
)
def test_a_file_that_is_no_utf_8_is_named_as_what_it_is_and_the_way_out_works(tmp_path, data, what, way_out):
    path = tmp_path / "file"
    path.write_bytes(data)
    for read in (lambda: open_corpus([path]), lambda: open_corpus([path], encoding="ascii")):
        with pytest.raises(CorpusError) as refused:
            read()
        assert what in refused.value.hint and way_out in refused.value.hint and "latin-1" not in refused.value.hint
    if way_out.startswith("utf"):
        corpus = open_corpus([path], encoding=way_out)
        assert corpus.vocabulary.decode(corpus.ids) == TEXT
        path.write_bytes(data[:-1] if data[0] != 0x1F else gzip.compress(TEXT.encode("utf-16")[:-1]))
        with pytest.raises(CorpusError) as refused:
            open_corpus([path], encoding=way_out)
        assert way_out not in refused.value.hint, "what was tried is no way out"


def test_a_prompt_is_utf_8(tmp_path):
    path = tmp_path / "prompt"
    path.write_bytes(TEXT.encode("utf-16"))
    with pytest.raises(CorpusError) as refused:
        read_prompt_file(path)
    assert refused.value.hint == "a prompt is read as UTF-8"


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF), min_size=20))
def test_plain_text_says_nothing_of_nuls(text):
    found = signature_of(text.encode())
    assert found is None or not found.encoding or text.startswith("\ufeff")


@given(st.binary(max_size=64))
def test_any_beginning_will_do(data):
    signature_of(data)
