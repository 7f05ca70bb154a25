"""What the beginning of a file says of it, for hints when it cannot be read as asked."""

import codecs
import re
from typing import NamedTuple

SIGNATURE_BYTES = 4096  # that are looked at

_PACKERS = {  # as strict as can be: a text may well begin with BZh
    "gzip": (re.compile(rb"\x1f\x8b\x08"), "gunzip"),
    "bzip2": (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), "bunzip2"),
    "xz": (re.compile(rb"\xfd7zXZ\0"), "unxz"),
    "zstd": (re.compile(rb"\x28\xb5\x2f\xfd"), "unzstd"),
}
_ENCODINGS = {  # UTF-32 first, for its mark begins as that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}


class Signature(NamedTuple):
    """What a file seems to be, and either the encoding that reads it or another way out."""

    what: str
    encoding: str = ""
    way_out: str = ""


def packer_of(start: bytes) -> str | None:
    """What has packed a file that begins with `start`: gzip, bzip2, xz, zstd or, None, nothing that is known."""
    return next((name for name, (magic, _) in _PACKERS.items() if magic.match(start)), None)


def signature_of(start: bytes) -> Signature | None:
    """What a file is that begins with `start`; None where that says nothing."""
    if packer := packer_of(start):
        return Signature(f"compressed by {packer}", way_out=f"unpack it first, with `{_PACKERS[packer][1]}`")
    if start.startswith(b"PK\x03\x04"):
        return Signature("a zip archive, as .docx, .odt and .epub are", way_out="take the text out of it first")
    if start.startswith(b"%PDF-"):
        return Signature("a PDF", way_out="save its text first, for example with `pdftotext`")
    for mark, encoding in _ENCODINGS.items():
        if start.startswith(mark):
            return Signature(f"in {encoding.upper()}, by its byte order mark", encoding)
    encoding = _by_nuls(start)
    return Signature(f"in {encoding.upper()} without a byte order mark", encoding) if encoding else None


def _by_nuls(start: bytes) -> str:
    """UTF-16 and UTF-32 of most scripts have NULs at every second byte, or three of four."""
    shares = (start[place::4].count(0) / max(1, len(start[place::4])) for place in range(4))
    pattern = "".join("0" if share > 0.25 else "x" for share in shares)
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be", "x000": "utf-32-le", "000x": "utf-32-be"}.get(pattern, "")
