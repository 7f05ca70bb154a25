"""What was read before, kept in the cache: ids, and the fingerprints of files that have not changed since.

That nothing has changed is told by sizes and times. Where reading again costs little, and where a clock might have
missed a change, that is not relied upon.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.errors import CharLSTMError
from charlstm.files import TEMPORARY, cache_folder, replace, storage_errors, write_text
from charlstm.text.spool import blocks
from charlstm.text.vocabulary import Vocabulary

_KEEP_DAYS = 30  # what no command has used for so long is removed; it can be made again
_KEEP_HOURS = 1  # what a writer that was killed has left, once nobody has written to it for so long
_MUCH = 1 << 26  # bytes; so much is read, unpacked and hashed in 0.1 s
_MANY = 1000  # files
_MARGIN = 2 * 10**9  # ns: as coarse as the clocks of file systems are


def is_much(files: Sequence[Path]) -> bool:
    """Whether reading `files` takes so long that their sizes and times are to be relied upon."""
    with suppress(OSError):
        return len(files) > _MANY or sum(path.stat().st_size for path in files) > _MUCH
    return False  # reading them will say what is wrong


class Stamp:
    """The sizes and times of files at a moment."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Raises OSError where one is missing."""
        digest, newest, now = hashlib.sha256(), 0, time.time_ns()
        for path in files:
            status = path.stat()
            mark = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
            digest.update(repr(mark).encode())
            newest = max(newest, *mark[3:])
        self.name, self.is_settled = digest.hexdigest()[:32], newest < now - _MARGIN


class Seen:
    """The fingerprint of `files`, if it is known from an earlier reading."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files, self._stamp = files, None
        with suppress(OSError):
            self._stamp = Stamp(files)
        self.fingerprint: str | None = None
        if self._stamp and self._stamp.is_settled:
            self._path = cache_folder("seen") / self._stamp.name
            with suppress(OSError, ValueError):
                fingerprint, check = self._path.read_text("ascii").split()
                if check == self._check(fingerprint):
                    self.fingerprint = fingerprint
                    os.utime(self._path)

    def note(self, fingerprint: str) -> None:
        """Remember the fingerprint, if the files are what they were when this was made."""
        with suppress(OSError, CharLSTMError):
            if self._stamp and self._stamp.is_settled and Stamp(self._files).name == self._stamp.name:
                write_text(self._path, f"{fingerprint} {self._check(fingerprint)}")
                forget_unused(self._path.parent)

    def _check(self, fingerprint: str) -> str:
        return hashlib.sha256(f"{self._path.name} {fingerprint}".encode()).hexdigest()


@dataclass(frozen=True)
class Kept:
    """Ids in the cache, and what else is known of them: `skipped` characters, `boundaries` if documents are cut."""

    ids: np.ndarray
    vocabulary: Vocabulary
    skipped: int
    boundaries: int


def map_ids(path: Any, vocabulary: Vocabulary) -> np.ndarray:
    """The ids of a file, not in memory until they are used."""
    return np.memmap(path, dtype=vocabulary.id_type, mode="r")


def load(folder: Path, key: str) -> Kept | None:
    """What the cache holds under `key`; None if there is nothing, or nothing sound.

    Ids are held against their SHA-256; many only if their file is not the very one that was written or checked before.
    """
    facts_path, ids_path = folder / f"{key}.json", folder / f"{key}.ids"
    try:
        facts = json.loads(facts_path.read_text("utf-8"))
        stamp, claimed = facts.pop("stamp"), facts.pop("sha256")
        if facts["key"] != key or _digest(facts) != claimed:
            return None
        vocabulary = Vocabulary.from_json(facts["vocabulary"], key)
        ids, now = map_ids(ids_path, vocabulary), Stamp([ids_path]).name
        if ids.nbytes <= _MUCH or stamp != now:
            digest = hashlib.sha256()
            for block in blocks(ids_path):  # read and not mapped: what is mapped counts as memory of the process
                digest.update(block)
            if digest.hexdigest() != facts["ids"]:
                return None
        if stamp == now:
            os.utime(facts_path)
        else:
            _write_facts(facts_path, facts, now)
        return Kept(ids, vocabulary, facts["skipped"], facts["boundaries"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, CharLSTMError):
        return None


def keep(
    folder: Path, key: str, part: Path, digest: str, vocabulary: Vocabulary, skipped: int, boundaries: int
) -> Kept:
    """Take the ids in the file `part`, whose SHA-256 is `digest`, into the cache.

    Raises:
        StorageError: that cannot be written.
    """
    ids_path = folder / f"{key}.ids"
    with storage_errors(ids_path):
        replace(part, ids_path)
    facts = {"key": key, "vocabulary": vocabulary.to_json(), "skipped": skipped, "boundaries": boundaries}
    _write_facts(folder / f"{key}.json", facts | {"ids": digest}, Stamp([ids_path]).name)
    return Kept(map_ids(ids_path, vocabulary), vocabulary, skipped, boundaries)


def _write_facts(path: Path, facts: dict[str, Any], stamp: str) -> None:
    write_text(path, json.dumps(facts | {"sha256": _digest(facts), "stamp": stamp}))


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def forget_unused(folder: Path) -> None:
    """Remove what nothing has used for long: of ids, the file of what is known of them tells."""
    now = time.time()
    for path in folder.iterdir():
        hours = _KEEP_HOURS if path.name.startswith(".") and path.suffix == TEMPORARY else 24 * _KEEP_DAYS
        facts = path.with_suffix(".json")
        try:
            used = max(each.stat().st_mtime for each in (path, facts) if each.exists())
            if used < now - 3600 * hours:
                path.unlink()
        except (OSError, ValueError):  # another process was faster, or holds it open: no harm in keeping it
            continue
