"""The files that a user's words stand for: files, folders, named corpora, standard input."""

import codecs
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from charlstm.errors import CorpusError, setting
from charlstm.files import files_below, user_path
from charlstm.options import OnProgress, Unit
from charlstm.text.catalogue import is_named, locate_named
from charlstm.text.signatures import packer_of
from charlstm.text.spool import STDIN, blocks, is_read_once, spool, spool_folder
from charlstm.text.unpacking import unpacked

_TOLD = 500  # files between two words about how many there were


def locate(
    sources: Sequence[str],
    unit: Unit = "character",
    on_progress: OnProgress | None = None,
    left_out: Callable[[Path], bool] = lambda folder: False,
) -> list[Path]:
    """The files that `sources` name: files, named corpora, folders (their texts, sorted), `-` for standard input.

    What can be read only once, such as a pipe, comes as a copy. In the unit "byte" every file of a folder is a text.
    Folders below it that are `left_out` are not read.

    Raises:
        CorpusError: a source is missing, a folder holds no text, or standard input is named twice.
        DownloadError: a named corpus cannot be downloaded.
    """
    if sources.count(STDIN) > 1:
        raise CorpusError("standard input is named twice", "it can be read only once")
    files: list[Path] = []
    for source in sources:
        path = user_path(source)
        if source == STDIN or is_read_once(path):
            files.append(spool(STDIN if source == STDIN else path))
        elif _is_named(source):
            files += locate_named(source, on_progress)
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a name is too long or a folder closed
            files += _texts_in(path, unit, left_out, on_progress)
        elif os.path.exists(path):  # noqa: PTH110
            files.append(path)
        else:
            raise CorpusError(
                f"there is no file, folder or named corpus {source!r}",
                "`charlstm corpora` lists the named ones",
            )
    return files


def lasting_names(sources: Sequence[str], files: Sequence[Path]) -> list[str]:
    """`sources` in a form that finds the same text later, from any folder: names stay, paths become absolute."""
    if any(file.parent == spool_folder() for file in files):
        return [str(file.resolve()) for file in files]
    return [s if _is_named(s) else str(user_path(s).resolve()) for s in sources]


def _is_named(source: str) -> bool:
    """Whether `source` is a named corpus. A file of that name goes first; a folder does not: a run has that name."""
    return is_named(source) and not Path(source).is_file()


def _texts_in(folder: Path, unit: Unit, left_out: Callable[[Path], bool], on_progress: OnProgress | None) -> list[Path]:
    """The files below `folder`, sorted, that are neither empty nor hidden nor in a folder that is `left_out`."""
    # Names of files that are still being written begin with a dot, too (files.py).
    seen = files_below(folder, lambda name: name.startswith("."))
    files = [path for path in seen if _is_regular(path)]
    places = {path.parent for path in files}
    closed = {place for place in places if left_out(place)}
    closed |= {place for place in places if not closed.isdisjoint(place.parents)}
    texts = list[Path]()
    for number, path in enumerate(files):
        if on_progress and number % _TOLD == 0:
            on_progress("looking for texts", number, len(files))
        if path.parent not in closed and (unit == "byte" or _seems_text(path)):
            texts.append(path)
    if not texts:
        raise CorpusError(f"the folder {folder} holds no text files", f"{setting('unit', 'byte')} reads any file")
    return texts


def _is_regular(path: Path) -> bool:
    """Whether there is a file that is not empty; no pipe, and no link that leads nowhere or in a circle."""
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _seems_text(path: Path) -> bool:
    """Whether there is no NUL byte near the start of a file or of what it holds, or it begins as UTF-16.

    What cannot be unpacked may be one: reading it will say why it cannot.
    """
    start = next(blocks(path, 8192), b"")
    if packer_of(start):
        try:
            start = next(unpacked(blocks(path, 8192), path), b"")[:8192]
        except CorpusError:
            return True
    return b"\0" not in start or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
