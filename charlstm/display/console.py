"""The two consoles, errors and remarks, and how figures are spelled.

What they print may hold foreign text: strings are no markup here, and go through `visible`.
"""

import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from charlstm.display.streams import Results
from charlstm.display.visible import visible
from charlstm.errors import CharLSTMError, worded


class _Console(Console):
    """A console to which strings are text and nothing else, in tables too."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


out, err = _Console(), _Console(stderr=True)


def on_terminal(console: Console) -> bool:
    """Whether its stream is a terminal, whatever the environment says of colours."""
    return console.file.isatty()


if not on_terminal(out) and "COLUMNS" not in os.environ:
    out.width = 200  # no terminal bounds it, so a row is a line


def as_flag(name: str, value: str | None) -> str:
    """A setting as it is written on the command line."""
    flag = f"--{name.replace('_', '-')}"
    if value is None:
        return flag
    return f"`{flag}`" if value == "True" else f"`{flag} {shlex.quote(value)}`"


def with_flags(sentence: str) -> str:
    """A sentence of an error, with its settings worded as flags."""
    return worded(sentence, as_flag)


def show_error(
    error: CharLSTMError, label: str = "error:", hint: bool = True, wording: Callable[[str], str] = with_flags
) -> None:
    """One red sentence, and the way out below it."""
    err.print(Text(visible(label), style="bold red"), wording(error.raw_message))
    if hint and error.raw_hint:
        err.print(Text("hint:", style="dim"), wording(error.raw_hint))


def note(text: str, wrap: bool = True) -> None:
    """A remark on stderr; wrapped between words on a terminal, but for commands to copy."""
    err.print(text, soft_wrap=not (wrap and on_terminal(err)))


def result(text: str, wrap: bool = True) -> None:
    """A line of the result, on stdout; wrapped like a note."""
    out.print(text, soft_wrap=not (wrap and on_terminal(out)))


def show(renderable: RenderableType = "") -> None:
    """Something for Rich to render, on stdout."""
    out.print(renderable)


def write(piece: str | bytes) -> None:
    """Text of the model to stdout at once; bytes go there as they are."""
    if isinstance(piece, bytes):
        assert isinstance(sys.stdout, Results)
        sys.stdout.write_bytes(piece)
    else:
        print(piece, end="", flush=True)


def write_json(data: dict[str, Any]) -> None:
    """One JSON object on a line of stdout; what is not finite becomes null."""
    print(json.dumps(finite(data)), flush=True)


def finite(value: Any) -> Any:
    """`value`, with None for each number in it that is not finite."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def duration(seconds: float) -> str:
    """`1:23` or `2:03:04`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def count(number: float, noun: str) -> str:
    """`1 step`, `2,400 steps`, `0.5 minutes`."""
    figure = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{figure} {noun}" if figure == "1" else f"{figure} {noun}s"


def percent(probability: float) -> str:
    """`41.6%`; what is rarer than a thousandth has one digit that is not zero."""
    return f"{probability:.1%}" if probability >= 0.0009995 or not probability else f"{100 * probability:.0g}%"


def nats(loss: float) -> str:
    """A loss in both of its units."""
    return f"{loss:.4f} nats ({loss / math.log(2):.3f} bits) per character"


def command(*words: object) -> str:
    """A command line to copy, quoted where need be."""
    line = ["charlstm", *map(str, words)]
    return subprocess.list2cmdline(line) if os.name == "nt" else shlex.join(line)
