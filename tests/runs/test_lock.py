"""The lock of a run: one owner at a time, none after its death."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlstm.errors import RunError
from charlstm.runs.lock import lock

OWNER = """
import sys
from pathlib import Path
from charlstm.runs.lock import lock
with lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path):
    with lock(tmp_path) as is_locked:
        assert is_locked
        with pytest.raises(RunError, match=rf"is being trained by process {os.getpid()} on "), lock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path):
        raise ZeroDivisionError
    with lock(tmp_path) as is_locked:
        assert is_locked


def test_a_lock_dies_with_its_owner(tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin and owner.stdout
    with owner.stdin, owner.stdout:
        assert owner.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match=f"process {owner.pid} on"), lock(tmp_path):
            pass
        owner.kill()
        owner.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with lock(tmp_path) as is_locked:
        assert is_locked
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has locks of another kind")
def test_where_there_are_no_locks_work_goes_on_and_it_is_said(tmp_path, monkeypatch):
    import fcntl

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with lock(tmp_path) as is_locked:
        assert not is_locked


def test_a_lock_whose_file_was_removed_by_its_last_owner_is_none(tmp_path, monkeypatch):
    opened, first = os.open, True

    def slow_open(path: Path, *options: int) -> int:
        nonlocal first
        descriptor = opened(path, *options)
        if first:  # the owner before us ends between our opening the file and our locking it
            first = False
            Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", slow_open)
    with lock(tmp_path) as is_locked:
        assert is_locked and (tmp_path / ".lock").exists()
