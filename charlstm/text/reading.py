"""Files as characters: every byte accounted for, and memory that does not grow with the text."""

import codecs
import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlstm.errors import ConfigError, CorpusError, setting
from charlstm.text.signatures import SIGNATURE_BYTES, signature_of
from charlstm.text.spool import blocks, is_read_once, name_of
from charlstm.text.unpacking import unpacked
from charlstm.text.vocabulary import codepoints

_MARK = "\ufeff"  # a byte order mark, decoded
_OF_NAMES = ("idna", "punycode", "undefined")  # they are for names of hosts, and for nothing
_ANYWHERE = ("utf-8", "ascii", "iso8859-1", "cp1252")  # encodings: a character is the same wherever it stands
BLOCK_BYTES = 1 << 20  # bytes read at a time: what becomes of them on the way fits a processor's cache
AS_BYTES = "latin-1"  # how bytes are read; who asks for latin-1 characters is given its canonical name, iso8859-1
_IN_BLOCKS = ("utf-8", "iso8859-1", AS_BYTES)  # encodings that need no string between the bytes and the ids


class Fingerprint:
    """SHA-256 over the SHA-256 of each file: the same content cut into other files is another corpus.

    It is that of the bytes on the disk, packed or not. `on_read` is told how many of them were read, now and then.
    """

    def __init__(self, on_read: Callable[[int], None] = lambda size: None) -> None:
        self._whole, self._on_read = hashlib.sha256(), on_read
        self._read = self._told = 0

    def blocks(self, path: Path) -> Iterator[bytes]:
        """The bytes of the next file, in pieces."""
        digest = hashlib.sha256()
        for block in blocks(path, BLOCK_BYTES):
            digest.update(block)
            self._read += len(block)
            if self._read >= self._told + BLOCK_BYTES:
                self._told = self._read
                self._on_read(self._read)
            yield block
        self._whole.update(digest.digest())

    def hexdigest(self) -> str:
        """The fingerprint of the files that were read."""
        return self._whole.hexdigest()


class Block(NamedTuple):
    """Whole characters of a file, in UTF-8 or Latin-1, after so many bytes (`offset`) and characters of it (`seen`).

    They are held against the encoding only where they are looked at, which several threads may do.
    """

    data: bytes
    encoding: str
    path: Path
    offset: int
    seen: int

    @property
    def may_be_binary(self) -> bool:
        """Whether there is a NUL among characters; among bytes it is as good as any other."""
        return self.encoding != AS_BYTES and b"\0" in self.data

    def text(self) -> str:
        """The characters.

        Raises:
            CorpusError: they are not in this encoding, or binary.
        """
        try:
            text = self.data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise _wrongly_encoded(error, self.path, self.encoding, self.offset) from error
        if self.may_be_binary:
            raise _binary(self.path, self.encoding, f"character {self.seen + text.find(chr(0)) + 1:,} is a NUL")
        return text


Piece = Block | np.ndarray  # of a text; an array is one of code points, uint32


def points_of(piece: Piece) -> np.ndarray:
    """The code points of a piece: uint32.

    Raises:
        CorpusError: it is a block that is not in its encoding, or binary.
    """
    return codepoints(piece.text()) if isinstance(piece, Block) else piece


def fingerprint_of(files: Sequence[Path], on_read: Callable[[int], None] = lambda size: None) -> str:
    """The fingerprint of `files`, in this order."""
    fingerprint = Fingerprint(on_read)
    for path in files:
        for _ in fingerprint.blocks(path):
            pass
    return fingerprint.hexdigest()


def text_encoding(name: str) -> str:
    """The canonical name of an encoding.

    Raises:
        ConfigError: Python knows no such text encoding.
    """
    try:
        info = codecs.lookup(name)
        if not getattr(info, "_is_text_encoding", True) or info.name in _OF_NAMES:  # such as base64
            raise LookupError(name)
    except (LookupError, ValueError):
        raise ConfigError(
            f"{setting('encoding', name)} is not a text encoding that Python knows", "try utf-8"
        ) from None
    return info.name


def characters(path: Path | str, encoding: str, keep_mark: bool = False) -> Iterator[str]:
    """The text of one file, or of standard input as `-`, in pieces; a multi-byte character is never torn.

    Of a file that is packed it is the text that it holds. A byte order mark at its start is no text, unless it is to be
    kept; of bytes all are kept.

    Raises:
        CorpusError: it is missing, unreadable, packed and damaged, or not in this encoding.
    """
    return _decoded(blocks(path, BLOCK_BYTES), path, encoding, keep_mark)


def read_text(path: Path, encoding: str, fingerprint: Fingerprint, keep_mark: bool = False) -> Iterator[str]:
    """The text of one file of a corpus, in pieces; what is read goes into the fingerprint.

    Bytes come as Latin-1, where a NUL is as good as any other, and as they are on the disk, packed or not.

    Raises:
        CorpusError: it is missing, unreadable, packed and damaged, binary, or not in this encoding.
    """
    seen = 0
    for text in _decoded(fingerprint.blocks(path), path, encoding, keep_mark):
        if encoding != AS_BYTES and (nul := text.find("\0")) >= 0:
            raise _binary(path, encoding, f"character {seen + nul + 1:,} is a NUL")
        seen += len(text)
        yield text


def read_pieces(path: Path, encoding: str, fingerprint: Fingerprint, keep_mark: bool = False) -> Iterator[Piece]:
    """`read_text` in pieces that need not be strings; what is wrong with a block is said where it is looked at."""
    if encoding not in _IN_BLOCKS:
        yield from map(codepoints, read_text(path, encoding, fingerprint, keep_mark))
        return
    pieces, is_utf8 = fingerprint.blocks(path), encoding == "utf-8"
    if encoding != AS_BYTES:
        pieces = unpacked(pieces, path)
    held, offset, seen, at_start = b"", 0, 0, is_utf8 and not keep_mark
    for piece in chain(pieces, [b""]):
        data = held + piece
        whole = len(data) - (_torn(data) if is_utf8 and piece else 0)
        data, held = data[:whole], data[whole:]
        if not data:
            continue
        if at_start and data.startswith(codecs.BOM_UTF8):
            data, offset = data[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
        at_start = False
        yield Block(data, encoding, path, offset, seen)
        offset += len(data)
        seen += int(np.count_nonzero(np.frombuffer(data, np.int8) >= -64)) if is_utf8 else len(data)


def _torn(data: bytes) -> int:
    """How many bytes at the end of `data` begin a character of UTF-8 that is longer."""
    for count, byte in enumerate(reversed(data[-3:]), 1):
        if byte >= 0xC0:
            return count if count < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
        if byte < 0x80:
            return 0
    return 0


def can_begin_anywhere(encoding: str) -> bool:
    """Whether a text in `encoding` can be read from the middle of a file, as nothing depends on what is before."""
    return encoding in (AS_BYTES, *_ANYWHERE)


def excerpt(path: Path, encoding: str, start: int, size: int) -> str:
    """The characters in `size` bytes of a file from `start` on, without those that are torn at either end.

    The file is not packed, and one `can_begin_anywhere` in its encoding.

    Raises:
        CorpusError: it is unreadable, binary, or not in this encoding.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            block = file.read(size)
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error
    torn = 0
    while encoding == "utf-8" and torn < 3 and start and block[torn : torn + 1] and block[torn] & 0xC0 == 0x80:
        torn += 1
    text = _decode(codecs.getincrementaldecoder(encoding)(), block[torn:], path, encoding, start + torn)
    if encoding == AS_BYTES:
        return text
    if "\0" in text:
        raise _binary(path, encoding, f"there is a NUL after byte {start:,}")
    return text if start else text.removeprefix(_MARK)


def _decoded(pieces: Iterator[bytes], path: Path | str, encoding: str, keep_mark: bool) -> Iterator[str]:
    """The text of `pieces`, the bytes of `path`, or of what they hold if they are packed; as bytes they are kept."""
    if encoding != AS_BYTES:
        pieces = unpacked(pieces, path)
    decoder = codecs.getincrementaldecoder(encoding)()
    offset, at_start = 0, encoding != AS_BYTES and not keep_mark
    for block in chain(pieces, [b""]):
        torn = len(decoder.getstate()[0])
        text = _decode(decoder, block, path, encoding, offset - torn)
        if text and at_start:
            text, at_start = text.removeprefix(_MARK), False
        yield text
        offset += len(block)


def _binary(path: Path, encoding: str, why: str) -> CorpusError:
    return CorpusError(
        f"{path} looks like a binary file: {why}", _hint(path, encoding) or f"{setting('unit', 'byte')} reads any file"
    )


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, path: Path | str, encoding: str, start: int) -> str:
    """The text of a block that begins, with what the decoder still holds, at the offset `start`; an empty one ends."""
    try:
        return decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        raise _wrongly_encoded(error, path, encoding, start) from error
    except UnicodeError as error:
        raise CorpusError(
            f"{name_of(path)} is not {encoding}: {error}",
            _hint(path, encoding) or f"name its encoding with {setting('encoding')}",
        ) from error


def _wrongly_encoded(error: UnicodeDecodeError, path: Path | str, encoding: str, start: int) -> CorpusError:
    """The error for what cannot be decoded of bytes that begin at the offset `start`."""
    return CorpusError(
        f"{name_of(path)} is not {encoding}: byte 0x{error.object[error.start]:02x} at offset {start + error.start:,}",
        _hint(path, encoding)
        or f"name its encoding, for example {setting('encoding', 'latin-1')}, "
        f"or train on bytes with {setting('unit', 'byte')}",
    )


def _hint(path: Path | str, encoding: str) -> str:
    """The way out that the beginning of a file names; empty if it names none, or the encoding that failed."""
    if is_read_once(path):
        return ""
    seems = signature_of(next(unpacked(blocks(path, SIGNATURE_BYTES), path), b"")[:SIGNATURE_BYTES])
    if not seems or (seems.encoding and text_encoding(seems.encoding) == encoding):
        return ""
    return f"it is {seems.what}: {seems.way_out or setting('encoding', seems.encoding)}"
