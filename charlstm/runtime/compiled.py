"""Compiled programs, kept between runs in the user's cache folder: bounded, and healed where one is damaged."""

import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from charlstm.files import cache_folder
from charlstm.runtime.processor import processor_key

_MAX_BYTES = 1_000_000_000  # of all programs; a model's take about 3 MB
_KEEP_DAYS = 30  # of the programs of a version of JAX, or of a processor, that nobody has used since
# What JAX warns of. It goes on without its cache, and keeps a damaged entry, to warn of it again at every start.
_WARNING = re.compile(r"Error (reading|writing) persistent compilation cache entry for '([^']*)'")


def compiled_folder(jax_version: str) -> Path:
    """The folder for programs of this version of JAX and this processor, after old ones were removed."""
    folder = cache_folder("xla", f"{jax_version}-{processor_key()}")
    with suppress(OSError):
        os.utime(folder)
        prune(folder.parent)
    return folder


def prune(folder: Path, max_bytes: int = _MAX_BYTES) -> None:
    """Remove the folders in `folder` that are long out of use, and of others the oldest files beyond `max_bytes`."""
    limit = time.time() - 86_400 * _KEEP_DAYS
    for each in folder.iterdir():
        if each.stat().st_mtime < limit:
            shutil.rmtree(each, ignore_errors=True)
    files: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process was faster
            facts = path.stat()
            if path.is_file():
                files.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max_bytes:
            break
        path.unlink(missing_ok=True)
        total -= size


@contextmanager
def healed(folder: Path | None) -> Iterator[None]:
    """Keep what JAX has to say of its cache from users, and remove what it cannot read, so that it is made again.

    `folder` is where entries may be removed. JAX tells of a damaged one by a warning alone, that names the program.
    """
    with warnings.catch_warnings():
        show = warnings.showwarning

        def heal(message: Warning | str, *rest: Any, **named: Any) -> None:
            if not (found := _WARNING.match(str(message))):
                show(message, *rest, **named)
            elif folder and found[1] == "reading":
                for entry in folder.glob(f"{found[2]}-*"):
                    with suppress(OSError):
                        entry.unlink()

        warnings.filterwarnings("always", message=_WARNING.pattern)
        warnings.showwarning = heal
        yield
