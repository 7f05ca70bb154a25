"""Passes over the files of a corpus: one that counts its characters, and one that writes its ids.

Memory does not grow with the files. Their fingerprint comes with every pass, and says whether they were what they are.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charlstm.errors import CorpusError, VocabularyError
from charlstm.files import atomic_write, storage_errors, sync
from charlstm.options import OnProgress, Unit, Unknown
from charlstm.text.ahead import in_order
from charlstm.text.documents import Documents, shuffled
from charlstm.text.encoding import Encoded, Encoder, count
from charlstm.text.reading import Fingerprint, Piece
from charlstm.text.store import map_ids
from charlstm.text.vocabulary import CODEPOINTS, Vocabulary

_SYNCED = 1 << 27  # bytes that are given to the disk at a time


@dataclass(frozen=True)
class Text:
    """The files of a corpus, and how they are read."""

    files: Sequence[Path]
    unit: Unit
    encoding: str
    documents: Documents
    keep_mark: bool = False
    on_progress: OnProgress = lambda what, done, total: None

    @property
    def size(self) -> int:
        """Bytes of all files; 0 if one is missing, which reading will say."""
        try:
            return sum(path.stat().st_size for path in self.files)
        except OSError:
            return 0

    def fingerprint(self, what: str) -> Fingerprint:
        """Of what a pass reads; it tells how far that is."""
        total = self.size
        return Fingerprint(lambda size: self.on_progress(what, size, total))

    def read(self, found: Fingerprint) -> Iterator[Piece]:
        """One pass over the files; what is read goes into `found`."""
        return self.documents.read(self.files, self.unit, self.encoding, found, self.keep_mark)

    def key(self, fingerprint: str, vocabulary: Vocabulary | None, unknown: Unknown) -> str:
        """The name of its ids in the cache."""
        known = vocabulary and vocabulary.to_json(), vocabulary and unknown
        marks = [fingerprint, self.unit, self.encoding, *known, self.keep_mark]
        if self.documents.are_cut:
            marks += [self.documents.kind, self.documents.seed]
        return hashlib.sha256(json.dumps(marks).encode()).hexdigest()[:32]

    @property
    def changed(self) -> CorpusError:
        """The error for a file that is not what it was in an earlier pass."""
        return CorpusError(f"{self.files[0]} changed while it was being read", "run the command again")


def count_characters(text: Text) -> tuple[np.ndarray, str]:
    """How often each code point and `BOUNDARY` occur, int64 `[0x110001]`; and the fingerprint."""
    counts, found = np.zeros(CODEPOINTS + 1, np.int64), text.fingerprint("reading the text")
    with closing(in_order(count, text.read(found))) as counted:
        for occurring in counted:
            counts[: len(occurring)] += occurring
    return counts, found.hexdigest()


def write_ids(text: Text, vocabulary: Vocabulary, own: bool, unknown: Unknown, part: Path) -> tuple[str, str, int, int]:
    """Encode a text into the file `part`: its fingerprint, the SHA-256 of the ids, and how many
    characters were left out and boundaries are among them.
    """
    digest, found = hashlib.sha256(), text.fingerprint("encoding the text" if own else "reading the text")
    characters = skipped = boundaries = unsynced = 0
    boundary, seed = vocabulary.boundary if text.documents.are_cut else None, text.documents.seed
    with (
        closing(in_order(Encoder(vocabulary), text.read(found))) as encoded,
        atomic_write(part) as out,
        _scratch(part.parent, boundary is not None and seed is not None) as scratch,
    ):

        def write(ids: np.ndarray) -> None:
            nonlocal unsynced
            out.write(ids.data)
            digest.update(ids.data)
            unsynced += ids.nbytes
            if unsynced > _SYNCED:  # the disk works meanwhile, and not at the end
                out.flush()
                sync(out.fileno())
                unsynced = 0

        def put(piece: tuple[np.ndarray, int, int]) -> tuple[int, int, int]:
            ids, left_out, between = piece
            scratch.write(ids.data) if scratch else write(ids)
            return len(ids), left_out, between

        pieces = checked(encoded, vocabulary, "error" if own else unknown)
        try:
            with closing(in_order(put, pieces, threads=1)) as written:
                for length, left_out, between in written:
                    characters, skipped, boundaries = characters + length, skipped + left_out, boundaries + between
        except VocabularyError:
            if own:  # it was made of the very same files
                raise text.changed from None
            raise
        require_two(characters - boundaries, text.files, skipped)
        if scratch:
            assert boundary is not None and seed is not None
            scratch.flush()
            for ids in shuffled(map_ids(scratch, vocabulary), boundary, seed):
                write(ids)
    return found.hexdigest(), digest.hexdigest(), skipped, boundaries


@contextmanager
def _scratch(folder: Path, is_needed: bool) -> Iterator[BinaryIO | None]:
    """A file without a name, for ids that are put into another order; None unless `is_needed`."""
    with storage_errors(folder), tempfile.TemporaryFile(dir=folder) if is_needed else nullcontext() as file:
        yield file


def checked(
    pieces: Iterator[Encoded], vocabulary: Vocabulary, unknown: Unknown
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Pieces of ids, each with the numbers of characters that were left out of it, and of boundaries."""
    position, boundary = 0, vocabulary.boundary
    for ids, length, strange in pieces:
        if strange and unknown == "error":
            character, before = strange
            # Where documents are cut, what stood between them does not count.
            raise vocabulary.unknown_error(character, position + before + 1 if boundary is None else None)
        position += length
        yield ids, length - len(ids), 0 if boundary is None else int(np.count_nonzero(ids == boundary))


def require_two(characters: int, files: Sequence[Path], skipped: int = 0) -> None:
    if characters < 2:
        names = ", ".join(map(str, files))
        known = "known " if skipped else ""
        empty = "holds no known character" if skipped else "is empty"
        what = f"holds a single {known}character" if characters else empty
        raise CorpusError(f"{names} {what}", "a model learns what follows what: give it at least two characters")
