"""Standard output and standard error as commands need them: whole, closed, full or vanished.

Results that cannot be written are an error; a remark that cannot be written is none, and must not end what is under
way.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from charlstm.errors import StorageError
from charlstm.files import storage_errors


class _Stream(io.TextIOBase):
    """What results and remarks have in common. Once a write has failed, what else is written is dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lost = False
        if isinstance(stream, io.TextIOWrapper):  # a name of a file may be more than the terminal's encoding can say
            stream.reconfigure(errors="backslashreplace")

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        try:
            return not self._lost and self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def close(self) -> None:
        """Nothing: the stream below belongs to Python."""

    def writable(self) -> bool:
        return True

    def _discard(self) -> None:
        """Drop what comes, and what is still buffered: that must not raise at exit."""
        self._lost = True
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)


class Results(_Stream):
    """Standard output: where it is closed or full, that is said once, as an error.

    Raises:
        StorageError: it cannot be written to.
        BrokenPipeError: its reader has gone.
    """

    def write(self, text: str) -> int:
        with self._errors() as stream:
            if stream:
                stream.write(text)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Write `data` at once, byte for byte."""
        with self._errors() as stream:
            if stream:
                stream.flush()
                stream.buffer.write(data)
                stream.buffer.flush()

    def flush(self) -> None:
        if self._stream is None:
            return
        with self._errors() as stream:
            if stream:
                stream.flush()

    @contextmanager
    def _errors(self) -> Iterator[TextIO | None]:
        """The stream, or None if it is lost."""
        if self._lost:
            yield None
            return
        try:
            if self._stream is None or self._stream.closed:
                raise StorageError("standard output is closed", "do not close it, or send it to a file")
            with storage_errors("standard output"):
                yield self._stream
        except (BrokenPipeError, StorageError):
            self._discard()
            raise


class Remarks(_Stream):
    """Standard error: where it is closed, full or vanished, there are no remarks."""

    def write(self, text: str) -> int:
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def _try(self, method: str, *arguments: str) -> None:
        if self._stream is None or self._lost:
            return
        try:
            getattr(self._stream, method)(*arguments)
        except (OSError, ValueError):
            self._discard()


@contextmanager
def standard_streams() -> Iterator[None]:
    """Within the block `sys.stdout` is `Results` and `sys.stderr` is `Remarks`, and their numbers are taken.

    A program that is started with one of them closed would give its number to the first file that it opens: a remark
    of some library would then go into the weights.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Results(sys.stdout), Remarks(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
