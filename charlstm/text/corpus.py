"""A text of any size as a memory-mapped array of ids.

Text -> bytes of its files, in order -> characters (kept exactly, line ends included) -> ids `[N]`, on disk in a cache
that is keyed by content, so that a large text is encoded once and an edited one is never stale.

N: characters (or bytes) of the text.  V: size of the vocabulary.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charlstm.errors import CorpusError, RunError, VocabularyError
from charlstm.files import atomic_write, cache_folder, storage_errors, write_text
from charlstm.options import Unit, Unknown
from charlstm.text.documents import WHOLE, Documents, count_boundaries, nearest_boundary, shuffled
from charlstm.text.reading import AS_BYTES, Fingerprint, characters, fingerprint_of, text_encoding
from charlstm.text.unpacking import size_of
from charlstm.text.vocabulary import BOUNDARY, CODEPOINTS, UNKNOWN, Vocabulary

_KEEP_DAYS = 30  # ids that no command has used for so long are removed; they can be made again


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text under a vocabulary. `ids` is a read-only memory map; `skipped` counts characters left out as unknown."""

    ids: np.ndarray
    vocabulary: Vocabulary
    fingerprint: str
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def documents(self) -> int:
        """How many documents there are; 0 where none are told apart."""
        if self.vocabulary.boundary is None:
            return 0
        return max(0, count_boundaries(self.ids, self.vocabulary.boundary) - 1)

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


def open_corpus(
    files: Sequence[Path],
    unit: Unit = "character",
    encoding: str = "utf-8",
    vocabulary: Vocabulary | None = None,
    unknown: Unknown = "error",
    *,
    documents: Documents = WHOLE,
    keep_mark: bool = False,
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
    fingerprint = fingerprint_of(files)
    marks = [fingerprint, unit, encoding, vocabulary and vocabulary.to_json(), vocabulary and unknown, keep_mark]
    if documents.are_cut:
        marks += [documents.kind, documents.seed]
    key = hashlib.sha256(json.dumps(marks).encode()).hexdigest()[:32]
    folder = cache_folder("ids")
    _forget_unused(folder)
    if cached := _load(folder, key, fingerprint):
        return cached
    sizes = (size_of(path) if unit == "character" else path.stat().st_size for path in files)
    folder = cache_folder("ids", room=4 * sum(sizes))  # where that is another, this process may have been here before
    if cached := _load(folder, key, fingerprint):
        return cached

    own = vocabulary is None

    def read(found: Fingerprint) -> Iterator[np.ndarray]:
        return documents.read(files, unit, encoding, found, keep_mark)

    vocabulary = vocabulary or _scan(files, read, fingerprint, documents.separator(unit))
    digest, found = hashlib.sha256(), Fingerprint()
    written = skipped = 0
    ids_path = folder / f"{key}.ids"
    boundary, seed = vocabulary.boundary if documents.are_cut else None, documents.seed
    is_shuffled = boundary is not None and seed is not None
    with atomic_write(ids_path) as out, _scratch(folder, is_shuffled) as scratch:
        try:
            for ids, left_out, characters in _encode(read(found), vocabulary, "error" if own else unknown):
                (scratch or out).write(ids.data)
                digest.update(b"" if scratch else ids.data)
                skipped += left_out
                written += characters
        except VocabularyError:
            if own:  # it was made of the very same files
                raise _changed(files) from None
            raise
        _require_two(written, files, skipped)
        _require_same(found, fingerprint, files)
        if scratch:
            assert boundary is not None and seed is not None
            scratch.flush()
            for ids in shuffled(_map(scratch, vocabulary), boundary, seed):
                out.write(ids.data)
                digest.update(ids.data)
    facts = {"key": key, "vocabulary": vocabulary.to_json(), "skipped": skipped}
    digest.update(json.dumps(facts).encode())
    write_text(folder / f"{key}.json", json.dumps(facts | {"sha256": digest.hexdigest()}))
    return Corpus(_map(ids_path, vocabulary), vocabulary, fingerprint, skipped)


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
    for ids, left_out, own in _encode(text, vocabulary, unknown):
        pieces.append(ids)
        skipped, written = skipped + left_out, written + own
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


def _map(path: Path | BinaryIO, vocabulary: Vocabulary) -> np.ndarray:
    return np.memmap(path, dtype=vocabulary.id_type, mode="r")


def _load(folder: Path, key: str, fingerprint: str) -> Corpus | None:
    """What the cache holds under `key`; None if there is nothing, or nothing sound.

    All of it is held against its SHA-256, which takes 0.07 s for 100 million ids of a byte: as long as the fingerprint
    of the text took.
    """
    try:
        facts = json.loads((folder / f"{key}.json").read_text("utf-8"))
        vocabulary = Vocabulary.from_json(facts["vocabulary"], key)
        ids, claimed = _map(folder / f"{key}.ids", vocabulary), facts.pop("sha256")
        digest = hashlib.sha256(ids.data)
        digest.update(json.dumps(facts).encode())
        if facts["key"] != key or digest.hexdigest() != claimed:
            return None
        for suffix in (".json", ".ids"):
            os.utime(folder / f"{key}{suffix}")
        return Corpus(ids, vocabulary, fingerprint, facts["skipped"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RunError):
        return None


def _forget_unused(folder: Path) -> None:
    limit = time.time() - _KEEP_DAYS * 86_400
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
        except OSError:  # another process was faster, or holds it open: no harm in keeping it
            continue


def _scan(
    files: Sequence[Path], read: Callable[[Fingerprint], Iterator[np.ndarray]], fingerprint: str, separator: str
) -> Vocabulary:
    """Pass 1: which characters there are, and how often, and whether there are boundaries."""
    counts, found = np.zeros(CODEPOINTS + 1, np.int64), Fingerprint()
    for points in read(found):
        occurring = np.bincount(points)
        counts[: len(occurring)] += occurring
    _require_same(found, fingerprint, files)
    if not counts[:BOUNDARY].any():
        _require_two(0, files)
    vocabulary = Vocabulary.of_counts(counts[:BOUNDARY])
    return vocabulary.with_boundary(separator) if counts[BOUNDARY] else vocabulary


def _encode(
    text: Iterator[np.ndarray], vocabulary: Vocabulary, unknown: Unknown
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Pass 2: pieces of ids, each with the numbers of characters that were left out of it, and that were not."""
    position = 0
    for points in text:
        ids = vocabulary.table[points]
        strange = ids == UNKNOWN
        if strange.any():
            if unknown == "error":
                first = int(strange.argmax())
                # Where documents are cut, what stood between them does not count.
                place = position + first + 1 if vocabulary.boundary is None else None
                raise vocabulary.unknown_error(chr(points[first]), place)
            ids = ids[~strange]
        position += len(points)
        boundaries = 0 if vocabulary.boundary is None else int(np.count_nonzero(ids == vocabulary.boundary))
        yield ids.astype(vocabulary.id_type), len(points) - len(ids), len(ids) - boundaries


def _require_same(found: Fingerprint, fingerprint: str, files: Sequence[Path]) -> None:
    """Hold what a pass has read against what there was before."""
    if found.hexdigest() != fingerprint:
        raise _changed(files)


def _changed(files: Sequence[Path]) -> CorpusError:
    return CorpusError(f"{files[0]} changed while it was being read", "run the command again")


def _require_two(characters: int, files: Sequence[Path], skipped: int = 0) -> None:
    if characters < 2:
        names = ", ".join(map(str, files))
        known = "known " if skipped else ""
        empty = "holds no known character" if skipped else "is empty"
        what = f"holds a single {known}character" if characters else empty
        raise CorpusError(f"{names} {what}", "a model learns what follows what: give it at least two characters")
