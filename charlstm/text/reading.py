"""Files as characters: every byte accounted for, and memory that does not grow with the text."""

import codecs
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charlstm.errors import ConfigError, CorpusError, setting
from charlstm.text.vocabulary import codepoints

BLOCK_BYTES = 1 << 22  # bytes read at a time
AS_BYTES = "latin-1"  # how bytes are read; who asks for latin-1 characters is given its canonical name, iso8859-1


def opened(path: Path) -> BinaryIO:
    """The file, open for reading.

    Raises:
        CorpusError: it is missing or unreadable.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise CorpusError(f"there is no file {path}") from None
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file in pieces."""
    with opened(path) as file:
        try:
            while block := file.read(BLOCK_BYTES):
                yield block
        except OSError as error:
            raise CorpusError(f"cannot read {path}: {error.strerror}") from error


def fingerprint_of(files: Sequence[Path]) -> str:
    """SHA-256 over the SHA-256 of each file: the same content cut into other files is another corpus."""
    whole = hashlib.sha256()
    for path in files:
        digest = hashlib.sha256()
        for block in blocks(path):
            digest.update(block)
        whole.update(digest.digest())
    return whole.hexdigest()


def text_encoding(name: str) -> str:
    """The canonical name of an encoding.

    Raises:
        ConfigError: Python knows no such text encoding.
    """
    try:
        info = codecs.lookup(name)
        if not getattr(info, "_is_text_encoding", True):  # such as base64
            raise LookupError(name)
    except (LookupError, ValueError):
        raise ConfigError(
            f"{setting('encoding', name)} is not a text encoding that Python knows", "try utf-8"
        ) from None
    return info.name


def characters(path: Path, encoding: str) -> Iterator[str]:
    """The text of one file in pieces; a multi-byte character is never torn."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    for block in blocks(path):
        pending = len(decoder.getstate()[0])
        yield _decoded(decoder, block, False, path, encoding, offset - pending)
        offset += len(block)
    yield _decoded(decoder, b"", True, path, encoding, offset - len(decoder.getstate()[0]))


def _decoded(
    decoder: codecs.IncrementalDecoder, block: bytes, final: bool, path: Path, encoding: str, start: int
) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise CorpusError(
            f"{path} is not {encoding}: byte 0x{byte:02x} at offset {start + error.start:,}",
            f"name its encoding, for example {setting('encoding', 'latin-1')}, "
            f"or train on bytes with {setting('unit', 'byte')}",
        ) from error
    except UnicodeError as error:
        raise CorpusError(
            f"{path} is not {encoding}: {error}", f"name its encoding with {setting('encoding')}"
        ) from error


def read_codepoints(files: Sequence[Path], encoding: str) -> Iterator[np.ndarray]:
    """The code points of all files, in pieces. Bytes come as Latin-1, where a NUL is as good as any other."""
    for path in files:
        seen = 0
        for text in characters(path, encoding):
            if encoding != AS_BYTES and (nul := text.find("\0")) >= 0:
                raise CorpusError(
                    f"{path} looks like a binary file: character {seen + nul + 1:,} is a NUL",
                    f"{setting('unit', 'byte')} reads any file",
                )
            seen += len(text)
            yield codepoints(text)
