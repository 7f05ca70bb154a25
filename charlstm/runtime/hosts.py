"""The processes that train one run together, and what they tell each other.

JAX's distributed runtime is the engine: its coordination service, which lives in process 0, carries words (a store of
keys and values), Gloo on CPUs and NCCL on GPUs carry arrays. Words take no part in collectives: so others can be waited
for with a limit, and one that waits can be told of an error. Processes that make steps apart take part in none at all.
"""

import atexit
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, Protocol

from charlstm.errors import CharLSTMError, HostError
from charlstm.runtime.exchange import Exchange
from charlstm.runtime.watch import Watch

_SLICE_MS = 500  # of a wait: in between, Python hears signals
_POLL = 0.001  # seconds
_PARTING_MS = 300_000  # in which all programs end, once they have trained
_FAREWELL = 1.0  # seconds in which those of the others leave the store
_KEPT = 8  # decisions: nobody is so far behind, for the steps of one are waited for before the next but one


class Message(Protocol):
    """What can be told."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...


class Hosts:
    """The processes of a run as one of them sees them: here one that is alone, with nobody to tell or to wait for."""

    process, processes = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which decides and writes."""
        return self.process == 0

    def own(self, streams: int) -> range:
        """Which of so many streams this process reads."""
        each = streams // self.processes
        return range(self.process * each, (self.process + 1) * each)

    def tell(self, message: Message) -> None:
        """Tell all others what process 0 has decided; in the others, nothing."""

    def meet(self) -> None:
        """Wait until all are here.

        Raises:
            HostError: a process is lost.
        """

    @contextmanager
    def together(self) -> Iterator[None]:
        """In the block something is done that all do together.

        Raises:
            HostError: a process is lost.
        """
        yield

    def ready(self, arrays: Any) -> None:
        """Wait until a tree of arrays is computed.

        Raises:
            HostError: a process is lost.
        """

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether another process was told to stop."""
        return False

    def go_apart(self) -> None:
        """These processes make their steps apart, which is to be known before JAX has devices: without collectives.

        One may be far behind what process 0 has decided.
        """

    def outlive(self) -> None:
        """From now on process 0 leaves out who is lost, and goes on."""

    @property
    def left_out(self) -> dict[int, str]:
        """Processes that process 0 goes on without, and why."""
        return {}

    def begin_round(self) -> None:
        """What is given and taken from now on is that of a new round; all others begin it, too."""

    def forget(self) -> None:
        """In process 0, which has taken something in this round from all: drop what was given in earlier ones."""

    def give(self, name: str, data: bytes) -> None:
        """Give others something that has a name in this round.

        Raises:
            HostError: process 0 is lost, or goes on without this one.
        """

    def take(self, name: str, giver: int = 0) -> bytes | None:
        """What process `giver` gives, waited for; None if that is left out.

        Raises:
            HostError: process 0 is lost, or goes on without this one.
        """


ALONE = Hosts()


class JoinedHosts(Hosts):
    """Processes that have found each other; those without a sign of life for `seconds` are lost."""

    def __init__(self, client: Any, process: int, processes: int, seconds: float, run: int) -> None:
        self.process, self.processes = process, processes
        self._client, self._prefix = client, f"charlstm/{run}"
        self._messages = self._meetings = 0
        self.are_apart = False
        self.names = [f"process {number}" for number in range(processes)]
        self._watch = Watch(client, self._prefix, process, self.names, seconds)
        self._exchange = Exchange(client, f"{self._prefix}/rounds", process, self._watch)

    def introduce(self, facts: dict[str, Any]) -> list[dict[str, Any]]:
        """Give `facts` of this process to the others; returns those of all in process 0, elsewhere those of process 0.

        From now on their names say where they are.
        """
        own = facts | {"host": socket.gethostname()}
        self._set(f"facts/{self.process}", json.dumps(own))
        known = [json.loads(self._get(f"facts/{number}")) for number in range(self.processes if self.leads else 1)]
        for number, each in [*enumerate(known), (self.process, own)]:
            self.names[number] = f"process {number} on {each['host']}"
        return known

    def tell(self, message: Message) -> None:
        if self.leads:
            self._set(self._told(), json.dumps(message.to_dict()))
            if not self.are_apart:
                self._client.key_value_delete(f"{self._prefix}/{self._told(self._messages - _KEPT)}")
            self._messages += 1

    def told(self, meanwhile: Callable[[], None]) -> dict[str, Any]:
        """What process 0 decides next; `meanwhile` is called now and then.

        Raises:
            HostError: process 0 is lost, or ends the run because another one is.
        """
        message = json.loads(self._get(self._told(), meanwhile))
        self._messages += 1
        return message

    def meet(self) -> None:
        self._meetings += 1
        meeting = f"meeting/{self._meetings}"
        self._set(f"{meeting}/{self.process}", "")
        if self.leads:
            for number in range(1, self.processes):
                self._get(f"{meeting}/{number}")
            self._set(f"{meeting}/all", "")
        self._get(f"{meeting}/all")

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._watch.waiting():
            try:
                yield
            except RuntimeError as error:  # of Gloo, whose connections end with the process at their other end
                if "RESOURCE_EXHAUSTED" in str(error):  # memory, which is this process's own matter
                    raise
                raise self._watch.cause(str(error).split("\n")[0]) from error

    def ready(self, arrays: Any) -> None:
        import jax

        leaves = jax.tree.leaves(arrays)
        with self.together():  # not in C++, where no exception comes through
            while not all(leaf.is_ready() for leaf in leaves):
                self._watch.check()
                time.sleep(_POLL)
            jax.block_until_ready(leaves)

    @property
    def is_asked_to_stop(self) -> bool:
        return self._watch.is_asked_to_stop

    def go_apart(self) -> None:
        self.are_apart = True

    def outlive(self) -> None:
        self._watch.outlives = self.leads

    @property
    def left_out(self) -> dict[int, str]:
        return self._watch.left_out

    def begin_round(self) -> None:
        self._exchange.begin()

    def forget(self) -> None:
        self._exchange.forget()

    def give(self, name: str, data: bytes) -> None:
        self._exchange.give(name, data)

    def take(self, name: str, giver: int = 0) -> bytes | None:
        return self._exchange.take(name, giver)

    def ask_to_stop(self) -> None:
        """Ask process 0 to save the run and to end it."""
        self._set(f"stop/{self.process}", "")

    def lose_first(self) -> None:
        """Process 0 is gone; this does not return."""
        self._watch.lose_first()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """In the block the run is trained: what ends it before its time is told to the others, and ends them, too.

        Raises:
            HostError: instead of another error, in all but process 0: it names this process.
        """
        try:
            yield
        except BaseException as error:
            is_ours = isinstance(error, CharLSTMError)
            own_name = self.names[self.process]
            self._watch.fail(f"{own_name} has ended: {error.raw_message if is_ours else repr(error)}")
            end_at_once(error)
            if is_ours and not self.leads and not isinstance(error, HostError):
                raise HostError(f"{own_name}: {error.raw_message}", error.raw_hint) from error
            raise
        self._watch.close()

    def part(self) -> None:
        """At the end of this program: in process 0, whose store they use, wait until those of the others end, too."""
        with suppress(RuntimeError):
            self._set(f"parting/{self.process}", "")
            for number in range(1, self.processes) if self.leads else ():
                if number not in self.left_out:
                    self._client.blocking_key_value_get(f"{self._prefix}/parting/{number}", _PARTING_MS)
            time.sleep(_FAREWELL if self.leads else 0)

    def _told(self, number: int | None = None) -> str:
        """The key of a decision, the next one by default."""
        return f"rounds/{self._exchange.round}/told/{self._messages if number is None else number}"

    def _set(self, key: str, value: str) -> None:
        self._client.key_value_set(f"{self._prefix}/{key}", value)

    def _get(self, key: str, meanwhile: Callable[[], None] = lambda: None) -> str:
        while True:
            self._watch.check()
            meanwhile()
            began = time.monotonic()
            try:
                return self._client.blocking_key_value_get(f"{self._prefix}/{key}", _SLICE_MS)
            except RuntimeError:  # it is not there yet, or nobody answers
                time.sleep(max(0.0, _SLICE_MS / 1000 - (time.monotonic() - began)))


def end_at_once(error: BaseException) -> None:
    """The program, which `error` ends, is to end without ceremony: JAX would wait for processes that are lost."""
    interrupted = 130 if isinstance(error, KeyboardInterrupt) else 1
    status = error.exit_status if isinstance(error, CharLSTMError) else interrupted

    def end() -> NoReturn:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    atexit.register(end)


@contextmanager
def silent_stdout() -> Iterator[None]:
    """In the block nothing that C++ prints comes out: Gloo prints a line for each device that is connected."""
    sys.stdout.flush()
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
