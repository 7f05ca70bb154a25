"""Signals: as every command takes them; and as training does: most stop it, one has it saved."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # a hangup is a closed terminal; Windows has a break
_SAVING = ("SIGUSR1",)  # by which a queue warns that it will soon end a program


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Within the block what is half-written vanishes when a signal ends the program; at a second one it ends at once.

    So it does while something is being imported, for an exception there would be a traceback of somebody else's code,
    and aborts what is half loaded in C.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        place = frame
        while place:
            if place.f_code.co_filename.startswith("<frozen importlib"):
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            place = place.f_back
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + number)

    usual = (signal.SIG_DFL, signal.default_int_handler)  # others are ignored, or a caller's own
    numbers = [number for name in _STOPPING if (number := getattr(signal, name, None)) is not None]
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Signals:
    """Notes signals from `note` on, until its block ends; before and after it they do as ever.

    A second Ctrl-C ends the program at once. Signals that are ignored, as a hangup is under `nohup`, stay so.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self._save = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def note(self) -> None:
        """From now on there is something to save."""
        for names, handler in ((_STOPPING, self._stop), (_SAVING, self._warn)):
            for name in names:
                number = getattr(signal, name, None)  # Windows knows some of them only
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, handler)

    def should_stop(self) -> bool:
        """Whether the run is to be saved and to end."""
        return self.stopped_by is not None

    def should_save(self) -> bool:
        """Whether the run is to be saved, since the last time that this was asked."""
        wanted, self._save = self._save, False
        return wanted

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.stopped_by = self.stopped_by or number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _warn(self, _number: int, _frame: FrameType | None) -> None:
        self._save = True
