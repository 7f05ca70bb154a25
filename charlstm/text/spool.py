"""What can be read only once, standard input and pipes, as files that can be read again."""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from charlstm.errors import CorpusError
from charlstm.files import atomic_write, cache_folder, user_path

STDIN = "-"  # as a string; `Path("-")` is a file of that name
_BLOCK = 1 << 20  # bytes


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises:
        CorpusError: there is none.
    """
    stream = getattr(sys.stdin, "buffer", None)  # None if the shell closed it, and a notebook has only characters
    if stream is None:
        raise CorpusError("there is no standard input to read", f"name a file instead of `{STDIN}`")
    return stream


def opened(path: Path | str) -> BinaryIO:
    """The file, or standard input as `-`, open for reading.

    Raises:
        CorpusError: it is missing or unreadable.
    """
    if path == STDIN:
        return standard_input()
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise CorpusError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:  # the latter if there is a NUL in its name
        raise CorpusError(f"cannot read {path}: {_reason(error)}") from error


def blocks(path: Path | str, size: int = _BLOCK) -> Iterator[bytes]:
    """The bytes of a file, or of standard input as `-`, in pieces of `size`.

    Raises:
        CorpusError: it is missing or unreadable.
    """
    file = opened(path)
    try:
        while block := file.read(size):
            yield block
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot read {name_of(path)}: {_reason(error)}") from error
    finally:
        if path != STDIN:
            file.close()


def name_of(path: Path | str) -> str:
    """How messages name a file."""
    return "standard input" if path == STDIN else str(path)


def is_read_once(source: Path | str) -> bool:
    """Whether `source` is standard input as `-`, a pipe or a device: what is read of it is gone."""
    if source == STDIN:
        return True
    try:
        mode = os.stat(source).st_mode  # noqa: PTH116 - Path drops what tells ./- from -
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def spool(source: Path | str) -> Path:
    """All that comes from `source` as a file of the cache, named by its content so that resuming finds it again.

    Raises:
        CorpusError: it cannot be read, or nothing comes.
        StorageError: the file cannot be written.
    """
    folder = spool_folder()
    part = folder / f"{os.getpid()}.part"
    try:
        return part.replace(folder / f"{_copy(source, part)[:32]}.txt")
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def seekable(source: Path | str) -> Iterator[Path]:
    """A file that may be read more than once: `source`, or a copy that is gone after the block.

    Raises:
        CorpusError: it cannot be read, or nothing comes.
        StorageError: the copy cannot be written.
    """
    path = source if source == STDIN else user_path(source)
    if not is_read_once(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="charlstm-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, "standard-input")
        _copy(path, copy)
        yield copy


def spool_folder() -> Path:
    """Where spooled files are."""
    return cache_folder("stdin")


def _copy(source: Path | str, place: Path) -> str:
    """Write all that comes from `source` to `place`; returns its SHA-256."""
    digest = hashlib.sha256()
    with atomic_write(place) as out:
        for block in blocks(source):
            digest.update(block)
            out.write(block)
        if not out.tell():
            raise CorpusError(f"{name_of(source)} is empty", "what comes from it can be read only once: name it once")
    return digest.hexdigest()


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
