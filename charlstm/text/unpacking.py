"""Texts that gzip, bzip2, xz or zstd have packed, as what they hold.

They are known by their first bytes, whatever their names are. A file may be several packed ones in a row, as
`cat a.gz b.gz` makes it. What is held of a text at a time is bounded, however long it is.
"""

import bz2
import importlib
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from charlstm.errors import CorpusError
from charlstm.text.signatures import packer_of
from charlstm.text.spool import blocks, name_of

_START = 16  # bytes that tell what has packed a file
_SLICE = 1 << 16  # bytes that a decoder is given at a time: what it does not use, it copies
_PIECE = 1 << 22  # bytes that it may give back at a time
_MEMORY = 1 << 28  # bytes that xz may take, more than any of its levels does


class _Decoder(Protocol):
    """What the modules of Python's standard library have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def is_packed(path: Path) -> bool:
    """Whether a file is packed.

    Raises:
        CorpusError: it is missing or unreadable.
    """
    return packer_of(next(blocks(path, _START), b"")) is not None


def unpacked(pieces: Iterator[bytes], path: Path | str) -> Iterator[bytes]:
    """What `pieces`, the bytes of `path`, hold; they themselves if nothing has packed them.

    Raises:
        CorpusError: they are damaged or end too early, or zstd is not there.
    """
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= _START:
            break
    packer = packer_of(start)
    if packer:
        yield from _unpacked(pieces, start, packer, path)
        return
    if start:
        yield start
    yield from pieces


def size_of(path: Path) -> int:
    """How many bytes a file holds: a packed one must be read for it."""
    return sum(map(len, unpacked(blocks(path), path))) if is_packed(path) else path.stat().st_size


def _unpacked(pieces: Iterator[bytes], start: bytes, packer: str, path: Path | str) -> Iterator[bytes]:
    make, failure = _decoders(packer, path)
    decoder: _Decoder | None = None
    for data in _slices(start, pieces):
        while data or (decoder and not decoder.needs_input):
            if decoder is None:
                data = data.lstrip(b"\0")  # padding between packed files
                if not data:
                    break
                decoder = make()
            try:
                text = decoder.decompress(data, _PIECE)
            except (OSError, ValueError, failure) as error:
                raise CorpusError(
                    f"{name_of(path)} is damaged: {packer} cannot unpack it ({error})", "use another copy of it"
                ) from error
            data = b""
            if text:
                yield text
            if decoder.eof:
                data, decoder = decoder.unused_data, None
    if decoder:
        raise CorpusError(f"{name_of(path)} ends too early for what {packer} has packed", "use a whole copy of it")


def _slices(start: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """`start`, and then `pieces`, in slices."""
    while start:
        for place in range(0, len(start), _SLICE):
            yield start[place : place + _SLICE]
        start = next(pieces, b"")


def _decoders(packer: str, path: Path | str) -> tuple[Callable[[], _Decoder], type[Exception]]:
    """What makes a decoder, and how it fails, beside OSError and ValueError."""
    match packer:
        case "gzip":
            return _GzipDecoder, zlib.error
        case "bzip2":
            return bz2.BZ2Decompressor, OSError
        case "xz":
            return (lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY)), lzma.LZMAError
        case _:
            return _zstd(path)


def _zstd(path: Path | str) -> tuple[Callable[[], _Decoder], type[Exception]]:
    if sys.version_info >= (3, 14):
        zstd = importlib.import_module("compression.zstd")
        return zstd.ZstdDecompressor, zstd.ZstdError
    try:
        import zstandard
    except ImportError as error:
        raise CorpusError(
            f"{name_of(path)} is packed by zstd, which needs zstandard",
            "install it with `pip install 'charlstm[zstd]'`",
        ) from error
    return _ZstdDecoder, zstandard.ZstdError


class _GzipDecoder:
    """One packed file, or member, of gzip."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)  # with the header of gzip, and its checksum
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        text = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        self.needs_input = len(text) < max_length
        return text


class _ZstdDecoder:
    """One packed file, or frame, of zstd, where Python has no decoder of its own.

    That of zstandard knows no bound, so it is given little at a time: 4 bytes may become 128 KiB.
    """

    _LITTLE = 256

    def __init__(self) -> None:
        import zstandard

        self._decoder = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data + self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data = self._waiting + data
        pieces: list[bytes] = []
        size = place = 0
        while place < len(data) and not self.eof and size < max_length:
            pieces.append(self._decoder.decompress(data[place : place + self._LITTLE]))
            size += len(pieces[-1])
            place += self._LITTLE
        self._waiting = data[place:]
        return b"".join(pieces)
