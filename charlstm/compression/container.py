"""The compressed file: a header of a few dozen bytes, what the model does not know, and the code.

    CHLZ, version, flags, whole numbers, fingerprint, digest, maker, aside, code, CRC-32 of all before it

A whole number is written in groups of 7 bits, the lowest first, each but the last with its highest bit set (LEB128).
"""

import struct
import zlib
from dataclasses import dataclass

from charlstm.errors import CorpusError

_MAGIC, _VERSION = b"CHLZ", 1
_OWN_ENCODING = 1  # a flag
_HASH = 8  # bytes of the fingerprint of the model, and of the digest of the content
_MAX_STREAMS = 1024
_RATES = 1e6  # a rate is kept in millionths


@dataclass(frozen=True, kw_only=True)
class Container:
    """What stands in a compressed file.

    size: bytes of the content
    count: symbols that are coded, in this many `streams`
    rate: that of the weights' learning; 0 if they stay as they are
    fingerprint: of the model
    digest: of the content
    maker: of what machine and versions the probabilities are
    """

    size: int
    count: int
    streams: int
    rate: float
    is_own_encoding: bool
    fingerprint: bytes
    digest: bytes
    maker: str
    aside: bytes
    code: bytes

    def to_bytes(self) -> bytes:
        """The file."""
        maker = self.maker.encode("ascii", "replace")[:255]
        numbers = (self.size, self.count, self.streams, round(self.rate * _RATES), len(self.aside), len(maker))
        data = b"".join(
            [
                _MAGIC, bytes([_VERSION, _OWN_ENCODING * self.is_own_encoding]), *map(_number, numbers),
                self.fingerprint[:_HASH], self.digest[:_HASH], maker, self.aside, self.code,
            ]
        )  # fmt: skip
        return data + struct.pack("<I", zlib.crc32(data))

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> "Container":
        """The inverse of `to_bytes`; messages call the file `name`.

        Raises:
            CorpusError: it is no such file, of a later version, or damaged.
        """
        if data[:4] != _MAGIC:
            raise CorpusError(
                f"{name} is not a file that charlstm has compressed" if data else f"{name} is empty",
                "`charlstm compress` makes one",
            )
        damaged = CorpusError(f"{name} is damaged or cut short: its checksum does not match", "use another copy of it")
        if len(data) < 10 or struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
            raise damaged
        if data[4] != _VERSION:
            raise CorpusError(f"{name} is of version {data[4]} of its format, not of 1", "use a newer charlstm")
        numbers: list[int] = []
        place = 6
        try:
            for _ in range(6):
                number, place = _read_number(data, place)
                numbers.append(number)
            size, count, streams, rate, aside, maker = numbers
            parts: list[bytes] = []
            for length in (_HASH, _HASH, maker, aside, len(data) - 4 - place - 2 * _HASH - maker - aside):
                parts.append(data[place : place + length])
                place += length
            # Each symbol stands for a byte at least.
            if place != len(data) - 4 or count > size or not 1 <= streams <= _MAX_STREAMS or len(parts[-1]) % 4:
                raise ValueError
            return cls(
                size=size, count=count, streams=streams, rate=rate / _RATES, is_own_encoding=bool(data[5]),
                fingerprint=parts[0], digest=parts[1], maker=parts[2].decode("ascii"), aside=parts[3], code=parts[4],
            )  # fmt: skip
        except (ValueError, IndexError):
            raise damaged from None


def _number(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _read_number(data: bytes, place: int) -> tuple[int, int]:
    """The number that begins at `place`, and where it ends."""
    number = shift = 0
    while data[place] & 0x80:
        number |= (data[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return number | data[place] << shift, place + 1
