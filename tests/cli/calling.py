"""Commands that are run in this process."""

import io
import sys

import pytest

from charlstm.cli import main


class Stream(io.TextIOWrapper):
    """A standard stream that is in memory."""

    def __init__(self, content: bytes = b"", terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(content), encoding, newline="")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def written(self) -> bytes:
        return self.buffer.getvalue()  # type: ignore[attr-defined]


def called(arguments: list[str]) -> int:
    """The exit status of a command."""
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[bytes, int]:
    """What `charlstm sample` writes to standard output, and its exit status."""
    out = Stream()
    monkeypatch.setattr(sys, "stdout", out)
    status = called(["sample", *arguments])
    return out.written, status
