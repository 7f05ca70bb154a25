"""Files that are whole or not there."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import pytest

from charlstm.errors import StorageError
from charlstm.files import atomic_write, cache_folder, files_below, is_temporary, storage_errors, user_path, write_text


def test_what_is_written_replaces_what_was_there(tmp_path):
    path = tmp_path / "file"
    for text in ("one", "two"):
        write_text(path, text)
        assert path.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_text("utf-8") == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_text(path, "new")
    assert path.read_text("utf-8") == "old" and list(tmp_path.iterdir()) == [path]


@contextmanager
def small_disk():
    """Files may not grow past 64 KiB."""
    resource = pytest.importorskip("resource", reason="not on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_finds_no_room_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(StorageError, match=r"cannot write .*file"), small_disk(), atomic_write(path) as file:
        for _ in range(20):
            file.write(b"new!" * 1000)
    assert path.read_text("utf-8") == "old" and list(tmp_path.iterdir()) == [path]


def test_the_new_file_is_not_seen_before_it_is_whole(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text("utf-8") == "old"
        assert len(list(tmp_path.iterdir())) == 2  # a neighbour: only within one file system is replacing one step
    assert path.read_text("utf-8") == "new"


def test_line_ends_and_other_scripts_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "file", "a\r\nb\rc\nж𝄞")
    assert (tmp_path / "file").read_bytes() == "a\r\nb\rc\nж𝄞".encode()


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_others_may_read_what_the_users_umask_lets_them(tmp_path):
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            write_text(tmp_path / "file", "text")
            assert os.umask(mask) == mask  # reading it has not changed it
        finally:
            os.umask(before)
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    write_text(tmp_path / "file", "")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_only_a_file_is_replaced_by_a_file(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    for path in (pipe, tmp_path):
        with pytest.raises(StorageError, match="is not a file"):
            write_text(path, "text")
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_a_closed_pipe_is_no_storage_error():
    with pytest.raises(BrokenPipeError), storage_errors("standard output"):
        raise BrokenPipeError


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_the_cache_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_folder("ids").stat().st_mode & 0o777 == 0o700


def test_what_is_below_a_folder_is_listed_without_what_is_left_out_or_vanishes(tmp_path):
    for name in ("b.txt", "a/x.txt", "a/skip.txt", "skip.txt/inner", "gone/never"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_text(tmp_path / name, name)

    def left_out(name: str) -> bool:
        if name == "gone":
            shutil.rmtree(tmp_path / name)
        return name == "skip.txt"

    assert files_below(tmp_path, left_out) == [tmp_path / "a" / "x.txt", tmp_path / "b.txt"]


def test_a_home_folder_that_is_not_known_stays_as_it_is_written(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert user_path("~") == tmp_path and user_path(Path("~/a")) == user_path("~/a") == tmp_path / "a"
    for path in ("~nobody-of-that-name/a", "a/~", "./~", "~\0", "", "-"):
        assert user_path(path) == Path(path)


HOME_PROGRAM = "from charlstm.files import cache_folder; print(cache_folder('ids'))"


def test_an_unknown_user_without_a_home_gets_a_folder_that_ends_with_the_process():
    if not shutil.which("unshare"):
        pytest.skip("no other user to be had")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    as_nobody = ["unshare", "-U", "--map-user=54321", sys.executable, "-c", HOME_PROGRAM]
    process = subprocess.run(as_nobody, env=environment, capture_output=True, text=True, check=False)
    if "unshare" in process.stderr:
        pytest.skip("no other user to be had")
    assert process.returncode == 0, process.stderr
    folder = Path(process.stdout.strip())
    assert folder.name == "ids" and not folder.parent.exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyError, PermissionError])
def test_without_a_folder_of_the_user_there_is_a_temporary_one(monkeypatch, error):
    def refuse(*_: object, **__: object) -> str:
        raise error("no home")

    monkeypatch.delenv("CHARLSTM_CACHE_DIR")
    monkeypatch.setattr(platformdirs, "user_cache_dir", refuse)
    folder = cache_folder("ids")
    write_text(folder / "file", "text")
    assert cache_folder("ids") == folder and Path(tempfile.gettempdir()) in folder.parents
    assert is_temporary(folder / "file") and not is_temporary(Path(tempfile.gettempdir()))


@pytest.mark.parametrize("home", ["~no.such.user/cache", "file", "file/below"])
def test_a_cache_that_is_no_folder_is_left_alone(tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "file", "mine")
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", home)
    assert cache_folder("ids").is_dir()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_cache_without_room_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path))
    assert cache_folder("ids", room=10**6).parent == tmp_path
    assert cache_folder("ids", room=10**18).parent != tmp_path
