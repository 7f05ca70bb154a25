"""A text of any size as a memory-mapped array of ids.

Text -> bytes of its files, in order -> characters (kept exactly, line ends included) -> ids `[N]`, on disk in a cache
that is keyed by content, so that a large text is encoded once and an edited one is never stale. Where the vocabulary is
known that is one pass over the files, however large they are; without one, another counts the characters before it.

N: characters (or bytes) of the text.  V: size of the vocabulary.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from charlstm.errors import CorpusError
from charlstm.files import cache_folder
from charlstm.options import OnProgress, Unit, Unknown
from charlstm.text.documents import WHOLE, Documents, count_boundaries, nearest_boundary
from charlstm.text.encoding import Encoder
from charlstm.text.passes import Text, checked, count_characters, require_two, write_ids
from charlstm.text.reading import AS_BYTES, Fingerprint, characters, fingerprint_of, text_encoding
from charlstm.text.store import Kept, Seen, forget_unused, is_much, keep, load
from charlstm.text.unpacking import size_of
from charlstm.text.vocabulary import BOUNDARY, Vocabulary


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
    text = Text(files, unit, encoding, documents, keep_mark, on_progress or Text.on_progress)
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
        counts, found = count_characters(text)
        if fingerprint and found != fingerprint:
            raise text.changed
        if not fingerprint:
            seen.note(found)
            if cached := kept(found, folder):
                return cached
        fingerprint, vocabulary = found, _vocabulary_of(counts, text)
        room = int(counts.sum()) * np.dtype(vocabulary.id_type).itemsize
    else:
        size = sum(map(size_of, files)) if unit == "character" else text.size
        room = np.dtype(vocabulary.id_type).itemsize * size
    folder = cache_folder("ids", room=room)  # where that is another, this process may have been here before
    if fingerprint and (cached := kept(fingerprint, folder)):
        return cached
    with _part(folder) as part:
        found, digest, skipped, boundaries = write_ids(text, vocabulary, own, unknown, part)
        if fingerprint and found != fingerprint:
            raise text.changed
        seen.note(found)
        ids = keep(folder, key_of(found), part, digest, vocabulary, skipped, boundaries)
        return _corpus(ids, found)


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


def _vocabulary_of(counts: np.ndarray, text: Text) -> Vocabulary:
    if not counts[:BOUNDARY].any():
        require_two(0, text.files)
    vocabulary = Vocabulary.of_counts(counts[:BOUNDARY])
    return vocabulary.with_boundary(text.documents.separator(text.unit)) if counts[BOUNDARY] else vocabulary


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
    for ids, left_out, boundaries in checked(map(Encoder(vocabulary), text), vocabulary, unknown):
        pieces.append(ids)
        skipped, written = skipped + left_out, written + len(ids) - boundaries
    require_two(written, [path], skipped)
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
