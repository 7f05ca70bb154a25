"""The two consoles, errors and remarks, and how figures are spelled."""

import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape

from charlstm.errors import CharLSTMError, StorageError, worded
from charlstm.files import storage_errors


class _Remarks(Console):
    """Stderr: if its reader goes away, what is under way goes on in silence."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what is still buffered must not raise at exit


out = Console(highlight=False, soft_wrap=True, emoji=False)
err = _Remarks(stderr=True, highlight=False, soft_wrap=True, emoji=False)
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = 200  # no terminal bounds it, so a row is a line


def as_flag(name: str, value: str | None) -> str:
    """A setting as it is written on the command line."""
    flag = f"--{name.replace('_', '-')}"
    if value is None:
        return flag
    return f"`{flag}`" if value == "True" else f"`{flag} {shlex.quote(value)}`"


def show_error(error: CharLSTMError) -> None:
    """One red sentence, and the way out below it."""
    err.print(f"[bold red]error:[/] {escape(worded(error.raw_message, as_flag))}")
    if error.raw_hint:
        err.print(f"[dim]hint:[/] {escape(worded(error.raw_hint, as_flag))}")


def note(text: str, wrap: bool = True) -> None:
    """A remark on stderr; wrapped between words on a terminal, but for commands to copy."""
    err.print(escape(text), soft_wrap=not (wrap and err.is_terminal))


def result(text: str, wrap: bool = True) -> None:
    """A line of the result, on stdout; wrapped like a note."""
    with _to_stdout():
        out.print(escape(text), soft_wrap=not (wrap and out.is_terminal))


def show(renderable: RenderableType = "") -> None:
    """Something for Rich to render, on stdout."""
    with _to_stdout():
        out.print(renderable)


def write(data: bytes) -> None:
    """Text of the model to stdout at once, byte for byte."""
    with _to_stdout():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def write_json(data: dict[str, Any]) -> None:
    """One JSON object on a line of stdout; what is not finite becomes null."""
    with _to_stdout():
        print(json.dumps(_finite(data)), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _to_stdout() -> Iterator[None]:
    """A full disk behind stdout is an error. A reader that has gone (`| head`) is none: Typer ends the program."""
    try:
        with storage_errors("standard output"):
            yield
    except StorageError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered must not raise at exit
        raise


def duration(seconds: float) -> str:
    """`1:23` or `2:03:04`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def count(number: float, noun: str) -> str:
    """`1 step`, `2,400 steps`, `0.5 minutes`."""
    figure = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{figure} {noun}" if figure == "1" else f"{figure} {noun}s"


def nats(loss: float) -> str:
    """A loss in both of its units."""
    return f"{loss:.4f} nats ({loss / math.log(2):.3f} bits) per character"


def command(*words: object) -> str:
    """A command line to copy, quoted where need be."""
    line = ["charlstm", *map(str, words)]
    return subprocess.list2cmdline(line) if os.name == "nt" else shlex.join(line)
