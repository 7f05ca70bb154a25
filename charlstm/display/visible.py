"""Foreign text on a terminal: its control characters are shown, not obeyed."""

import re
from collections.abc import Iterable, Iterator

_SHOWN = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}  # pictures of control characters
del _SHOWN[ord("\n")], _SHOWN[ord("\t")]
_SHOWN |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
# What turns the direction of a text, ends its lines or is never seen; joiners stay, for emoji are made with them.
_UNSEEN = 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF, *range(0xD800, 0xE000)
_SHOWN |= {code: f"\\u{code:04x}" for code in _UNSEEN}
_SHOWN |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}  # how Python has bytes that are no text


def visible(text: str) -> str:
    """`text` as a terminal can show it: every line end is a newline, and nothing in it is a command.

    Control characters become their pictures or, where there is none, escapes such as `\\x9b` and `\\u202e`.
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_SHOWN)


def visible_in_line(text: str, mark_edges: bool = True) -> str:
    """The same on a single line: line ends and tabs are shown, too; so are spaces at its edges, if it is wished."""
    line = visible(text).replace("\n", "\u2424").replace("\t", "\u2409")
    return re.sub("^ +| +$", lambda spaces: "\u2423" * len(spaces[0]), line) if mark_edges else line


def visible_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """The same of a text that comes in pieces: each at once, though a line end may be torn."""
    after_return = False
    for piece in pieces:
        yield visible(piece.removeprefix("\n") if after_return else piece)
        after_return = piece.endswith("\r") or (after_return and not piece)
