"""A text of any size as a memory-mapped array of ids.

Text -> bytes of its files, in order -> characters (kept exactly, line ends included) -> ids `[N]`, on disk in a cache
that is keyed by content, so that a large text is encoded once and an edited one is never stale. Where the vocabulary is
known that is one pass over the files, however large they are; without one, another counts the characters before it.

N: characters (or bytes) of the text.  V: size of the vocabulary.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charlstm.errors import CorpusError, VocabularyError
from charlstm.files import atomic_write, cache_folder, storage_errors
from charlstm.options import OnProgress, Unit, Unknown
from charlstm.text.ahead import in_order
from charlstm.text.documents import WHOLE, Documents, count_boundaries, nearest_boundary, shuffled
from charlstm.text.encoding import Encoded, Encoder, count
from charlstm.text.reading import AS_BYTES, Fingerprint, Piece, characters, fingerprint_of, text_encoding
from charlstm.text.store import Kept, Seen, forget_unused, is_much, keep, load, map_ids
from charlstm.text.unpacking import size_of
from charlstm.text.vocabulary import BOUNDARY, CODEPOINTS, Vocabulary


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text under a vocabulary. `ids` is a read-only memory map; `skipped` counts characters left out as unknown.

    `boundaries` are those in `ids`, if they were counted.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    fingerprint: str
    skipped: int = 0
    boundaries: int | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def documents(self) -> int:
        """How many documents there are; 0 where none are told apart."""
        if self.vocabulary.boundary is None:
            return 0
        found = self.boundaries
        return max(0, (count_boundaries(self.ids, self.vocabulary.boundary) if found is None else found) - 1)

    def split(self, validation: float) -> tuple[np.ndarray, np.ndarray]:
        """The training part and, from the end, the validation part; both parts are views.

        The training part keeps at least two characters. A validation part of a single character cannot be scored
        and counts as none. Of documents the validation part begins with the boundary that ends the training part; only
        where that would hold out less than half of what is asked, or more than twice as much, is a document cut.
        """
        total, boundary = len(self.ids), self.vocabulary.boundary
        cut = max(2, int((1 - validation) * total))
        if validation and boundary is not None:
            low, high = max(2, total - int(2 * validation * total)), min(total - 2, total - int(validation * total / 2))
            edge = nearest_boundary(self.ids, boundary, cut, low, high)
            if edge is not None:
                return self.ids[: edge + 1], self.ids[edge:]
        held_out = self.ids[cut:]
        return (self.ids[:cut], held_out) if len(held_out) > 1 else (self.ids, held_out[:0])


@dataclass(frozen=True)
class _Text:
    """The files of a corpus, and how they are read."""

    files: Sequence[Path]
    unit: Unit
    encoding: str
    documents: Documents
    keep_mark: bool = False
    on_progress: OnProgress = lambda what, done, total: None

    def fingerprint(self, what: str) -> Fingerprint:
        """Of what a pass reads; it tells how far that is."""
        try:
            total = sum(path.stat().st_size for path in self.files)
        except OSError:  # reading will say what is wrong
            total = 0
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


def open_corpus(
    files: Sequence[Path],
    unit: Unit = "character",
    encoding: str = "utf-8",
    vocabulary: Vocabulary | None = None,
    unknown: Unknown = "error",
    *,
    documents: Documents = WHOLE,
    keep_mark: bool = False,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """Read the texts `files` as one corpus, under `vocabulary` or, without one, under their own characters.

    Where they are cut into `documents`, there are boundaries between them, which a given `vocabulary` must have. A byte
    order mark at the start of a file is no text; `keep_mark` counts it, as charlstm 0.1 did.

    Raises:
        ConfigError: there is no such encoding.
        CorpusError: a file is missing, unreadable, binary or wrongly encoded, or there are fewer than two characters.
        VocabularyError: a character is not in `vocabulary` and `unknown` is "error".
    """
    encoding = text_encoding(encoding) if unit == "character" else AS_BYTES
    if vocabulary is None and unit == "byte":
        vocabulary = Vocabulary.of_bytes()
        if documents.are_cut:
            vocabulary = vocabulary.with_boundary(documents.separator(unit))
    text = _Text(files, unit, encoding, documents, keep_mark, on_progress or _Text.on_progress)
    folder, seen, key_of = cache_folder("ids"), Seen(files), partial(text.key, vocabulary=vocabulary, unknown=unknown)
    forget_unused(folder)

    def kept(fingerprint: str, folder: Path) -> Corpus | None:
        found = load(folder, key_of(fingerprint))
        return found and _corpus(found, fingerprint)

    fingerprint = seen.fingerprint if is_much(files) else fingerprint_of(files)
    if fingerprint and (cached := kept(fingerprint, folder)):
        return cached
    own = vocabulary is None
    if vocabulary is None:
        counts, found = _counted(text)
        if fingerprint and found != fingerprint:
            raise text.changed
        if not fingerprint:
            seen.note(found)
            if cached := kept(found, folder):
                return cached
        fingerprint, vocabulary = found, _vocabulary_of(counts, text)
        room = int(counts.sum()) * np.dtype(vocabulary.id_type).itemsize
    else:
        sizes = (size_of(path) if unit == "character" else path.stat().st_size for path in files)
        room = np.dtype(vocabulary.id_type).itemsize * sum(sizes)
    folder = cache_folder("ids", room=room)  # where that is another, this process may have been here before
    if fingerprint and (cached := kept(fingerprint, folder)):
        return cached
    with _part(folder) as part:
        found, *facts = _write(text, vocabulary, own, unknown, part)
        if fingerprint and found != fingerprint:
            raise text.changed
        seen.note(found)
        return _corpus(keep(folder, key_of(found), part, *facts), found)


def _corpus(kept: Kept, fingerprint: str) -> Corpus:
    return Corpus(kept.ids, kept.vocabulary, fingerprint, kept.skipped, kept.boundaries)


@contextmanager
def _part(folder: Path) -> Iterator[Path]:
    """The name of a file that is gone after the block, unless it has another name by then."""
    part = folder / f".{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _counted(text: _Text) -> tuple[np.ndarray, str]:
    """How often each code point and `BOUNDARY` occur, int64 `[0x110001]`; and the fingerprint."""
    counts, found = np.zeros(CODEPOINTS + 1, np.int64), text.fingerprint("reading the text")
    for occurring in in_order(count, text.read(found)):
        counts[: len(occurring)] += occurring
    return counts, found.hexdigest()


def _vocabulary_of(counts: np.ndarray, text: _Text) -> Vocabulary:
    if not counts[:BOUNDARY].any():
        _require_two(0, text.files)
    vocabulary = Vocabulary.of_counts(counts[:BOUNDARY])
    return vocabulary.with_boundary(text.documents.separator(text.unit)) if counts[BOUNDARY] else vocabulary


def _write(
    text: _Text, vocabulary: Vocabulary, own: bool, unknown: Unknown, part: Path
) -> tuple[str, str, Vocabulary, int, int]:
    """Encode a text into the file `part`: its fingerprint, and what `keep` is to be told of the ids."""
    digest, found = hashlib.sha256(), text.fingerprint("encoding the text" if own else "reading the text")
    characters = skipped = boundaries = 0
    boundary, seed = vocabulary.boundary if text.documents.are_cut else None, text.documents.seed
    with atomic_write(part) as out, _scratch(part.parent, boundary is not None and seed is not None) as scratch:
        try:
            for ids, left_out, between in _checked(
                in_order(Encoder(vocabulary), text.read(found)), vocabulary, "error" if own else unknown
            ):
                (scratch or out).write(ids.data)
                digest.update(b"" if scratch else ids.data)
                characters, skipped, boundaries = characters + len(ids), skipped + left_out, boundaries + between
        except VocabularyError:
            if own:  # it was made of the very same files
                raise text.changed from None
            raise
        _require_two(characters - boundaries, text.files, skipped)
        if scratch:
            assert boundary is not None and seed is not None
            scratch.flush()
            for ids in shuffled(map_ids(scratch, vocabulary), boundary, seed):
                out.write(ids.data)
                digest.update(ids.data)
    return found.hexdigest(), digest.hexdigest(), vocabulary, skipped, boundaries


def encode_file(
    path: Path, unit: Unit, encoding: str, vocabulary: Vocabulary, unknown: Unknown, documents: Documents
) -> tuple[np.ndarray, int]:
    """The ids of one small file, in memory and not in the cache, and how many characters were left out as unknown.

    Raises:
        ConfigError: there is no such encoding.
        CorpusError: it is missing, unreadable, binary or wrongly encoded, or holds fewer than two characters.
        VocabularyError: a character is not in `vocabulary` and `unknown` is "error".
    """
    text = documents.read([path], unit, text_encoding(encoding) if unit == "character" else AS_BYTES, Fingerprint())
    pieces, skipped, written = [np.zeros(0, vocabulary.id_type)], 0, 0
    for ids, left_out, boundaries in _checked(map(Encoder(vocabulary), text), vocabulary, unknown):
        pieces.append(ids)
        skipped, written = skipped + left_out, written + len(ids) - boundaries
    _require_two(written, [path], skipped)
    return np.concatenate(pieces), skipped


def read_prompt_file(path: Path | str, unit: Unit = "character", keep_newline: bool = False) -> str:
    """The prompt in a UTF-8 file, or in standard input as `-`; in the unit "byte" in any, a character for each byte.

    Of characters, a last line end is dropped unless it is to be kept: every editor adds one. Bytes are kept exactly.

    Raises:
        CorpusError: it is missing, unreadable or not UTF-8.
    """
    if unit == "byte":
        return "".join(characters(path, AS_BYTES))
    try:
        text = "".join(characters(path, "utf-8"))
    except CorpusError as error:
        if isinstance(error.__cause__, UnicodeError):
            raise CorpusError(error.message, "a prompt is read as UTF-8") from error
        raise
    return text if keep_newline or not text.endswith("\n") else text[:-1].removesuffix("\r")


@contextmanager
def _scratch(folder: Path, is_needed: bool) -> Iterator[BinaryIO | None]:
    """A file without a name, for ids that are put into another order; None unless `is_needed`."""
    with storage_errors(folder), tempfile.TemporaryFile(dir=folder) if is_needed else nullcontext() as file:
        yield file


def _checked(
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


def _require_two(characters: int, files: Sequence[Path], skipped: int = 0) -> None:
    if characters < 2:
        names = ", ".join(map(str, files))
        known = "known " if skipped else ""
        empty = "holds no known character" if skipped else "is empty"
        what = f"holds a single {known}character" if characters else empty
        raise CorpusError(f"{names} {what}", "a model learns what follows what: give it at least two characters")
