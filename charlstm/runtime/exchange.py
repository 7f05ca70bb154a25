"""Bytes that the processes of a run give each other, through the store of the coordination service in process 0.

The store has words for all and takes arrays, too, if they are cut into pieces. It takes part in no collective, so that
a process that is lost holds nobody up.
"""

import time
from typing import Any

from charlstm.errors import HostError
from charlstm.runtime.watch import Watch

_PIECE = 2**22  # bytes of a value: at 20 Mbit/s two seconds, in which signs of life get through beside it
_SLICE_MS = 500  # of a wait: in between, Python hears signals
_PATIENCE_MS = 600_000  # for a piece that is there, over the slowest network


class Exchange:
    """What `process` gives and takes, in rounds that all begin at the same decisions.

    Of a round everything is in one directory of the store. Process 0 deletes what it takes, which is for nobody else,
    and what it gave as soon as it knows that all have it: when they have given something in a later round.
    """

    def __init__(self, client: Any, prefix: str, process: int, watch: Watch) -> None:
        self._client, self._prefix, self._process, self._watch = client, prefix, process, watch
        self.round = self._first = 0  # the first round that the store still has something of

    def begin(self) -> None:
        """Begin the next round."""
        self.round += 1

    def forget(self) -> None:
        """All have given something in this round, and so have what was given in earlier ones: delete it."""
        for number in range(self._first, self.round):
            self._client.key_value_delete(f"{self._prefix}/{number}")
        self._first = self.round

    def give(self, name: str, data: bytes) -> None:
        """Give `data` to whoever takes it.

        Raises:
            HostError: process 0 is lost, or goes on without this one.
        """
        key = self._key(name)
        try:
            for place in range(0, len(data), _PIECE):
                self._watch.check()
                self._client.key_value_set_bytes(f"{key}/{place}", data[place : place + _PIECE])
            self._client.key_value_set(f"{key}/length", str(len(data)))  # the last, so that what is there is whole
        except RuntimeError as error:
            raise self._lost(error) from error

    def take(self, name: str, giver: int = 0) -> bytes | None:
        """What process `giver` gives in this round; None if that is lost and left out.

        Raises:
            HostError: process 0 is lost, or goes on without this one.
        """
        key, began = self._key(name), time.monotonic()
        while True:
            self._watch.check()
            if giver in self._watch.left_out:
                return None
            slice_began = time.monotonic()
            try:
                length = int(self._client.blocking_key_value_get(f"{key}/length", _SLICE_MS))
                break
            except RuntimeError:  # it is not there yet, or nobody answers
                time.sleep(max(0.0, _SLICE_MS / 1000 - (time.monotonic() - slice_began)))
            self._watch.check_patience(giver, time.monotonic() - began)
        try:
            pieces = [
                self._client.blocking_key_value_get_bytes(f"{key}/{place}", _PATIENCE_MS)
                for place in range(0, length, _PIECE)
            ]
            if self._process == 0:
                self._client.key_value_delete(key)
        except RuntimeError as error:
            raise self._lost(error) from error
        return b"".join(pieces)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{self.round}/{name}"

    def _lost(self, error: RuntimeError) -> HostError:
        return self._watch.cause(str(error).split("\n")[0])
