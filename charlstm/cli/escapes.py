"""Backslash escapes in what is typed: `HOB:\\nThe` as two lines."""

import re

from charlstm.errors import ConfigError, setting
from charlstm.options import Unit

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.?)", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", "'": "'", '"': '"'}


def unescaped(text: str, unit: Unit, name: str = "prompt") -> str:
    r"""`text` with \n, \t, \r, \0, \\, \', \", \xHH, \uHHHH and \UHHHHHHHH as what they stand for.

    `name` is the option that it stands in.

    In the unit "byte" \xHH is a byte: from 80 on a lone surrogate, as Python has bytes that are no text.

    Raises:
        ConfigError: a backslash begins none of these.
    """

    def meant(found: re.Match[str]) -> str:
        escape = found[1]
        if escape in _SIMPLE:
            return _SIMPLE[escape]
        number = int(escape[1:], 16) if len(escape) > 1 else -1
        if not 0 <= number <= 0x10FFFF or 0xD800 <= number < 0xE000:
            shown = text[found.start() : found.start() + {"x": 4, "u": 6, "U": 10}.get(escape[:1], 2)]
            raise ConfigError(
                f"{setting(name)} holds {shown}, which is no escape",
                r"there are \n \t \r \0 \\ \' \" \xHH \uHHHH \UHHHHHHHH; two backslashes are one",
            )
        is_byte = unit == "byte" and escape[0] == "x" and number >= 0x80
        return chr(0xDC00 + number if is_byte else number)

    return _ESCAPE.sub(meant, text)
