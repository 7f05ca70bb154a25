"""What can be read only once."""

import contextlib
import errno
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from charlstm.errors import CorpusError
from charlstm.text.sources import lasting_names, locate
from charlstm.text.spool import is_read_once, seekable, spool, spool_folder

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let `content` be standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@contextlib.contextmanager
def pipe(path: Path, content: bytes):
    """A named pipe through which `content` comes."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    yield path
    writer.join()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory) -> Path:
    """The folder of spooled files in a cache of the test's own."""
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    return spool_folder()


def test_standard_input_is_found_again_by_its_content(monkeypatch):
    found = []
    for content in (b"from a pipe", b"another", b"from a pipe"):
        piped(monkeypatch, content)
        found += locate(["-"])
    assert found[0] == found[2] and found[0].read_bytes() == b"from a pipe" and found[1].read_bytes() == b"another"


@needs_pipes
def test_a_pipe_is_read_once_and_found_again(tmp_path, cache):
    with pipe(tmp_path / "pipe", b"through a pipe") as path:
        files = locate([str(path)])
    assert files[0].read_bytes() == b"through a pipe" and files[0].parent == cache
    assert lasting_names([str(path)], files) == [str(files[0].resolve())]


def test_what_can_be_read_again_is_no_copy(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"text")
    assert locate([str(path)]) == [path]
    with seekable(path) as same:
        assert same == path
    assert not is_read_once(path) and not is_read_once(tmp_path) and not is_read_once("nowhere\0")
    assert is_read_once("-") and not is_read_once(Path("-")), "a file may have that name"


def test_weights_from_a_pipe_are_gone_when_they_are_loaded(monkeypatch, cache):
    piped(monkeypatch, b"weights")
    with seekable("-") as copy:
        assert copy.read_bytes() == b"weights" == copy.read_bytes()
    assert not copy.exists() and not list(cache.iterdir())


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no such device")
def test_nothing_is_no_text(monkeypatch, cache):
    piped(monkeypatch, b"")
    for name, source in {"standard input": "-", "/dev/null": "/dev/null"}.items():
        with pytest.raises(CorpusError, match=f"{name} is empty"):
            spool(source)
    assert not list(cache.iterdir())


def test_a_closed_standard_input_is_an_error(monkeypatch):
    for stdin in (None, io.StringIO("a notebook's")):
        monkeypatch.setattr(sys, "stdin", stdin)  # None is what Python makes of `<&-`
        with pytest.raises(CorpusError, match="no standard input"):
            locate(["-"])


class Vanishing(io.BytesIO):
    """Half a text, and then the terminal is closed."""

    def read(self, size: int | None = -1) -> bytes:
        if data := super().read(size):
            return data
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_spool_is_whole_or_not_there(monkeypatch, cache):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Vanishing(b"half")))
    with pytest.raises(CorpusError, match="cannot read standard input: "):
        spool("-")
    assert not list(cache.iterdir())
