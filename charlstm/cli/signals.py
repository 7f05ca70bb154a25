"""Signals: Ctrl-C while a module is being loaded; and as training takes them: most stop it, one has it saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # a hangup is a closed terminal; Windows has a break
_SAVING = ("SIGUSR1",)  # by which a queue warns that it will soon end a program


@contextmanager
def ending_imports() -> Iterator[None]:
    """Within the block Ctrl-C while something is being imported ends the program at once.

    An exception there would be a traceback of somebody else's code, and aborts what is half loaded in C.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        place = frame
        while place:
            if place.f_code.co_filename.startswith("<frozen importlib"):
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            place = place.f_back
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or a caller's own
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
