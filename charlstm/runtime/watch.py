"""Whether all processes of a run are alive, and whether what they do together gets on.

Each gives a sign of life every second. Process 0 looks at all of them, the others at process 0 only, which tells them
what it finds. Who is lost is known after a limit: a process that was killed, one that is stopped, a host without power
and a network that is cut are the same from here. One that is lost ends all, unless process 0 outlives the others: then
it leaves out who is lost, and goes on.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from charlstm.errors import HostError, setting, worded

_BEAT = 1.0  # seconds
_PATIENCE = 5  # times the limit, for what all do together: a dispatch takes a quarter of a second, but may be compiled
_GRACE = 10.0  # seconds in which a program may end by itself, once it knows that a process is lost


class Watch:
    """Watches over the processes `names` from `process`, one of them; those silent for `limit` seconds are lost."""

    def __init__(self, client: Any, prefix: str, process: int, names: list[str], limit: float) -> None:
        self._client, self._prefix, self._process, self._names, self._limit = client, prefix, process, names, limit
        self._lost = ""  # who, and why
        self._hint = f"what was saved is sound: start all processes again with the same flags and {setting('resume')}"
        self.outlives = False  # set in process 0 once it can do without the others
        self.left_out: dict[int, str] = {}  # why it goes on without these
        self._since: float | None = None  # when waiting began
        self._ended = threading.Event()
        self.is_asked_to_stop = False
        now = time.monotonic()
        self._heard = dict.fromkeys(range(len(names)) if process == 0 else [0], now)
        self._signs: dict[int, str] = {}
        # Two threads: where process 0 hangs, nobody answers the first one.
        for work in (self._exchange, self._judge):
            threading.Thread(target=work, daemon=True).start()

    def check(self) -> None:
        """Nothing, unless a process is lost.

        Raises:
            HostError: it is.
        """
        if self._lost:
            raise self._error()

    def cause(self, otherwise: str) -> HostError:
        """Why a connection has ended, as soon as it is known."""
        deadline = time.monotonic() + self._limit + 3 * _BEAT
        while not self._lost and time.monotonic() < deadline:
            time.sleep(0.05)
        self._lost = self._lost or f"the connection to another process has ended: {otherwise}"
        return self._error()

    def check_patience(self, number: int, waited: float) -> None:
        """Leave out a process that gives signs of life, but has not come for so many seconds to what process 0 does."""
        if self._process == 0 and waited > _PATIENCE * self._limit:
            self._lose(f"{self._names[number]} was waited for for {_PATIENCE * self._limit:g} seconds", number)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In the block this process waits for what all do together."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def fail(self, reason: str) -> None:
        """Tell the others that this process ends, and why; process 0 gives them a moment to hear it."""
        told = self._lost or reason
        kind = "lost" if self._process == 0 else "failed"
        with suppress(RuntimeError):
            self._client.key_value_set(f"{self._prefix}/{kind}/{self._process}", told, allow_overwrite=True)
        deadline = time.monotonic() + _GRACE
        others = len(self._names) - 1 - len(self.left_out)
        while self._process == 0 and len(self._known()) < others and time.monotonic() < deadline:
            time.sleep(_BEAT / 4)
        self.close()

    def lose_first(self) -> None:
        """Process 0 is gone: hold this thread, on which C++ has heard of it, until the program has said so and ends."""
        while self._ended.is_set() and not self._lost:  # all was done: the program ends by itself, or has other work
            time.sleep(_GRACE)
        self._lose(f"{self._names[0]} is gone")
        time.sleep(2 * _GRACE)
        os._exit(1)

    def close(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def _error(self) -> HostError:
        return HostError(self._lost, self._hint)

    def _exchange(self) -> None:
        """Give signs of life, and note when those of others change."""
        count = 0
        while not self._ended.wait(_BEAT):
            count += 1
            with suppress(RuntimeError):  # nobody answers: that is what `_judge` is for
                self._client.key_value_set(f"{self._prefix}/alive/{self._process}", str(count), allow_overwrite=True)
                if self._process == 0:
                    self._note(self._all("alive"))
                    self.is_asked_to_stop = bool(self._all("stop"))
                    for number, why in self._all("failed").items():
                        self._lose(why, number)
                else:
                    self._note({0: self._client.blocking_key_value_get(f"{self._prefix}/alive/0", 1000)})
                    if without := self._all("left_out").get(self._process):
                        self._hint = "the run goes on; once it has ended, all processes can go on with it"
                        self._lose(without)
                    self._lose(self._all("lost").get(0, ""))
                    if self._lost:
                        self._ended.wait(_BEAT)
                        self._client.key_value_set(f"{self._prefix}/known/{self._process}", "", allow_overwrite=True)

    def _known(self) -> dict[int, str]:
        """Which processes know that the run has ended, and have had the time to say so."""
        try:
            return self._all("known")
        except RuntimeError:
            return {}

    def _all(self, kind: str) -> dict[int, str]:
        found = self._client.key_value_dir_get(f"{self._prefix}/{kind}/")
        return {int(key.rsplit("/", 1)[1]): value for key, value in found}

    def _note(self, signs: dict[int, str]) -> None:
        now = time.monotonic()
        for number, sign in signs.items():
            if number in self._heard and self._signs.get(number) != sign:
                self._signs[number], self._heard[number] = sign, now

    def _judge(self) -> None:
        """Find out who is lost; where this program does not end by itself then, end it."""
        last = time.monotonic()
        while not self._ended.wait(_BEAT / 4):
            now = time.monotonic()
            if now - last > self._limit / 2:  # it was this process that was stopped, or its machine that slept
                self._heard = dict.fromkeys(self._heard, now)
                self._since = self._since and now
            last = now
            for number, heard in self._heard.items():
                if number != self._process and now - heard > self._limit:
                    self._lose(f"{self._names[number]} has given no sign of life for {self._limit:g} seconds", number)
            since = self._since
            if since is not None and now - since > _PATIENCE * self._limit:
                self._lose(f"{self._names[self._process]} has waited for the others for {_PATIENCE * self._limit:g} s")
            if self._lost:
                self._ended.wait(_GRACE)
                if not self._ended.is_set():
                    self._exit()
                return

    def _lose(self, why: str, number: int | None = None) -> None:
        """Who or what is lost ends this process; or, of process 0 that outlives others, process `number` only."""
        if self.outlives and number is not None:
            if number not in self.left_out:
                with suppress(RuntimeError):
                    told = f"process 0 goes on without this one: {why}"
                    self._client.key_value_set(f"{self._prefix}/left_out/{number}", told, allow_overwrite=True)
                self.left_out[number] = why
        elif why and not self._lost:
            self._lost = why
            if self._process == 0:
                with suppress(RuntimeError):
                    self._client.key_value_set(f"{self._prefix}/lost/0", why, allow_overwrite=True)

    def _exit(self) -> None:
        """End a program that waits in C++, where no exception reaches it."""
        error = self._error()
        with suppress(OSError, ValueError):
            print(f"error: {worded(error.raw_message)}\nhint: {error.hint}", file=sys.stderr, flush=True)
        os._exit(1)
