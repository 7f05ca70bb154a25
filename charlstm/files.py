"""Files that are either whole or not there, and the folder where this program keeps what it can make again.

Every write goes to a temporary neighbour, is flushed to the disk and then takes the place of the old file in one
step, so a crash, a full disk or a signal leaves the old file or none, never half of the new one.
"""

import atexit
import errno
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from charlstm.errors import StorageError


def cache_folder(*parts: str, room: int = 0) -> Path:
    """A folder below `$CHARLSTM_CACHE_DIR`, or below the user's own cache folder; made on demand, mode 0700.

    Caches are a convenience: where a user has none, may not write to it or has no `room` for so many bytes, the folder
    is one of this process, and gone at its end.

    Raises:
        StorageError: not even temporary files can be written.
    """
    with suppress(OSError, RuntimeError, KeyError):  # the latter two if nobody knows where the user is at home
        root = os.environ.get("CHARLSTM_CACHE_DIR") or platformdirs.user_cache_dir("charlstm", appauthor=False)
        return _made(Path(root).expanduser().joinpath(*parts), room)
    with storage_errors("temporary files"):
        return _made(_temporary_root().joinpath(*parts))


def _made(folder: Path, room: int = 0) -> Path:
    """The folder, after something was written there: its mode tells nothing of root's rights, nor of a full disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < room:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(4096))
    return folder


def user_path(path: Path | str) -> Path:
    """`path`, where a `~` or `~user` at its start that a shell left alone means the home folder, if there is one."""
    try:
        return Path(os.path.expanduser(path))  # noqa: PTH111 - Path drops what tells ./~ from ~, and raises
    except ValueError:  # a NUL in the user's name
        return Path(path)


def is_no_file(path: Path) -> bool:
    """Whether there is something else at `path`, which must not be replaced by a file."""
    return os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113 - Path raises on a long name


@cache
def _temporary_root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="charlstm-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def is_temporary(path: Path) -> bool:
    """Whether `path` is in a cache folder that ends with this process."""
    return _temporary_root.cache_info().currsize > 0 and path.is_relative_to(_temporary_root())


def files_below(folder: Path, left_out: Callable[[str], bool]) -> list[Path]:
    """The files below `folder`, sorted, without files and whole folders whose name is `left_out`.

    Unlike Path.rglob it takes no offence at a folder that vanishes meanwhile.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not left_out(name)]
        found += [Path(place, name) for name in names if not left_out(name)]
    # As paths are sorted; their own comparisons take 4 s where there are 100,000 of them.
    return sorted(found, key=lambda path: [part.lower() for part in path.parts] if os.name == "nt" else path.parts)


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into a `StorageError`; a closed pipe is no refusal."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            "free some space, or choose a folder that you may write to",
        ) from error


TEMPORARY = ".tmp"  # how names of files end that are still being written; they begin with a dot


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that becomes `path` when the block ends well, and vanishes when it does not.

    Raises:
        StorageError: the disk is full, the folder may not be written to, or `path` is a folder, a device or a pipe.
    """
    if is_no_file(path):
        raise StorageError(f"cannot write {path}: it is not a file", "choose another name")
    with storage_errors(path):
        try:
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
        except ValueError as error:  # a NUL in the name
            raise OSError(str(error)) from error
    temporary = Path(name)
    try:
        with storage_errors(path), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            sync(file.fileno())
        with suppress(OSError):  # mkstemp's 0600 is not what a user expects of a result; some disks know no modes
            temporary.chmod(0o666 & ~_umask())
        with storage_errors(path):
            replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def replace(source: Path, target: Path) -> None:
    """Rename a file or folder in a way that lasts through a power cut; `target` may be an old file."""
    for _ in range(20 if os.name == "nt" else 0):  # a scanner may hold a file for a moment
        with suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(0.05)
    source.replace(target)
    with suppress(OSError):  # Windows opens no folders
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            sync(folder)
        finally:
            os.close(folder)


def sync(descriptor: int) -> None:
    """Have the disk hold what was written; some file systems cannot be asked, and that is no error."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def remove_temporary(folder: Path) -> None:
    """Remove what writers that were killed have left in `folder`; no other may be writing there."""
    for path in folder.glob(f".*{TEMPORARY}"):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)


def require_file(path: Path) -> None:
    """Hold what is to be read against what can be: from a pipe nothing may ever come, and from a device no end.

    Raises:
        OSError: it is no file, or missing.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a file")


_LONGEST_JSON = 1 << 24  # characters; a vocabulary of all of Unicode takes 13 million


def parse_json(text: str | bytes) -> Any:
    """A JSON value that means one thing only: no key twice, not deeper than Python can follow, and of a sane length.

    Raises:
        ValueError: it is none.
    """
    if len(text) > _LONGEST_JSON:  # as objects it may take fifty times the memory
        raise ValueError("it is too long")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a key stands twice in an object")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all, with its line ends as they are."""
    with atomic_write(path) as file:
        file.write(text.encode())


def _umask() -> int:
    mask = os.umask(0)  # the only way to read it is to set it
    os.umask(mask)
    return mask
