"""One process at a time writes to a run: a lock that the operating system takes back when its owner dies."""

import errno
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charlstm.errors import RunError
from charlstm.files import storage_errors

_LOCK = ".lock"
_FAR = 2**30  # Windows locks bytes, and nobody may read those that are locked


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Be the only one who writes to a run while the block lasts; False where the file system knows no locks.

    Raises:
        RunError: another process is training it, or its lock is of another kind or place.
        StorageError: the folder may not be written to.
    """
    path = folder / _LOCK
    while True:
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:  # it is written to
                raise RunError(f"{path} is not a file of this run alone", "remove it")
            is_locked = _acquire(descriptor, folder)
            # An owner that has just ended removed the file, and we have locked what is no longer there.
            if not is_locked or _is_at(descriptor, path):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
                try:
                    yield is_locked
                finally:
                    with suppress(OSError):  # Windows removes no file that is open
                        path.unlink()
                return
        finally:
            os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            owner = os.read(descriptor, 200).decode("utf-8", "replace") or "another process"
            raise RunError(
                f"{folder} is being trained by {owner}", "wait until it ends, or stop it: it saves before it ends"
            ) from None
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
