"""How the processes of a run find each other, before JAX makes its devices."""

import atexit
import ctypes
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from charlstm.errors import CharLSTMError, ConfigError, HostError, setting
from charlstm.events import Joined
from charlstm.options import TrainOptions
from charlstm.runtime.hosts import ALONE, Hosts, JoinedHosts, end_at_once
from charlstm.schema import options_in

_JOIN = 10  # times the limit of a sign of life: others may still be in a queue, or starting
_RETRY = 0.2  # seconds
_NEVER = 10**6  # seconds: JAX would end the program with a stack trace; `Watch` has words
_OWN = ("texts", "run", "init_from", "process")  # options that may differ: paths do from host to host
_runs, _has_collectives = 0, True  # of this program


@contextmanager
def joined(
    options: TrainOptions, on_event: Callable[[Joined], None], has_local_steps: Callable[[], bool]
) -> Iterator[Hosts]:
    """The processes that train a run together, as long as the block lasts; alone unless `options` say otherwise.

    Process 0, which has the run, is asked whether it `has_local_steps`: then they make them apart.

    Raises:
        ConfigError: JAX is in use already, or finds no cluster.
        HostError: the others cannot be reached, do not all come, do not fit, or are lost.
    """
    global _runs, _has_collectives
    if options.coordinator is None and not options.distributed:
        yield ALONE
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what XLA reports of lost processes is said in sentences here
    import jax
    from jax._src import distributed

    if is_first := not jax.distributed.is_initialized():
        _initialize(options)
    _runs += 1
    state = distributed.global_state
    assert state.process_id is not None and state.num_processes is not None
    hosts = JoinedHosts(state.client, state.process_id, state.num_processes, options.host_timeout, _runs)
    if is_first and jax.config.jax_platforms in (None, "", "cpu"):  # pyright: ignore[reportAttributeAccessIssue]
        _choose_collectives(hosts)
    if not hosts.leads:
        _hear_that_process_0_is_gone(hosts)
    atexit.register(hosts.part)
    with hosts.reporting():
        _require_alike(hosts, options, has_local_steps)
        if is_first:
            _has_collectives = not hosts.are_apart
        elif not (_has_collectives or hosts.are_apart):
            raise ConfigError(
                "an earlier run of this program made local steps, and JAX has no collectives since",
                f"train in a program of its own, or with {setting('average_every')}, too",
            )
        known = [name.rpartition(" on ")[2] for name in hosts.names] if hosts.leads else []
        on_event(Joined(process=hosts.process, hosts=known))
        yield hosts


def _require_alike(hosts: JoinedHosts, options: TrainOptions, has_local_steps: Callable[[], bool]) -> None:
    """Refuse processes that were started with other settings, or in other versions; hear whether to go apart.

    Raises:
        HostError: there is one; it names its host.
    """
    from charlstm.runtime.setup import versions

    facts = {setting(name): getattr(options, name) for name in options_in(TrainOptions) if name not in _OWN}
    facts |= {name: version for name, version in versions().items() if name != "python"}
    known = hosts.introduce(facts | {"apart": hosts.leads and has_local_steps()})
    if known[0]["apart"]:
        hosts.go_apart()
    for name, theirs in zip(hosts.names, known, strict=False):
        for what in facts:
            if theirs.get(what) != known[0].get(what):
                raise HostError(
                    f"{name} has {what} {theirs.get(what)}, but {hosts.names[0]} has {known[0].get(what)}",
                    "start all processes with the same flags, in the same versions",
                )


def _initialize(options: TrainOptions) -> None:
    """Have JAX find the other processes, and wait for those that are late."""
    import jax
    from jax._src import distributed

    limit = int(_JOIN * options.host_timeout)
    if options.coordinator:
        _require_reachable(options.coordinator, options.process == 0, limit)
    jax.config.update("jax_enable_preemption_service", False)  # signals are heard here
    runtime: Any = distributed._jax  # pyright: ignore[reportPrivateImportUsage]
    make_client = runtime.get_distributed_runtime_client
    # Where the service in process 0 is gone, JAX ends the program with a stack trace, unless it has a function to call.
    # That call fails, as its argument has no type in Python, and the failure ends in `_hear_that_process_0_is_gone`.
    # Compression makes what is given ten times slower.
    runtime.get_distributed_runtime_client = lambda *args, **named: make_client(
        *args, **named | {"missed_heartbeat_callback": print, "use_compression": False}
    )
    try:
        _interruptibly(
            functools.partial(
                jax.distributed.initialize, options.coordinator, options.processes, options.process,
                cluster_detection_method="deactivate" if options.coordinator else None,
                initialization_timeout=limit, heartbeat_timeout_seconds=_NEVER, shutdown_timeout_seconds=0,
            )
        )  # fmt: skip
    except BaseException as error:
        if distributed.global_state.client:
            end_at_once(error)
        if isinstance(error, RuntimeError | ValueError):
            raise _not_joined(options, str(error), limit) from error
        raise
    finally:
        runtime.get_distributed_runtime_client = make_client


def _interruptibly(call: Callable[[], None]) -> None:
    """Call what waits in C++, where Python hears no Ctrl-C, in another thread."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_RETRY)
    for error in errors:
        raise error


def _not_joined(options: TrainOptions, reason: str, limit: int) -> CharLSTMError:
    if "must be called before" in reason:
        return ConfigError(
            "JAX is in use already, and other processes can join only before",
            "call `train` before anything else that uses JAX",
        )
    if not options.coordinator:
        return ConfigError(
            f"{setting('distributed')}, but JAX finds no cluster here: {reason.splitlines()[0]}",
            f"give {setting('coordinator')}, {setting('processes')} and {setting('process')}",
        )
    return HostError(
        f"not all of the {options.processes} processes have come to {options.coordinator} within {limit} seconds",
        f"start each once, with its own number as {setting('process')}; {setting('host_timeout')} times {_JOIN} is how "
        "long they are waited for",
    )


def _require_reachable(coordinator: str, is_first: bool, limit: int) -> None:
    """Refuse a port that is taken and, where process 0 is elsewhere, one at which nobody answers in time.

    Raises:
        HostError: it is so.
    """
    host, _, port = coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    if is_first:
        try:
            with socket.create_server(("", address[1])):
                return
        except OSError as error:
            raise HostError(
                f"process 0 cannot listen at port {port}: {error.strerror}", "give another port to all processes"
            ) from error
    deadline = time.monotonic() + limit
    while True:
        try:
            with socket.create_connection(address, timeout=5):
                return
        except OSError as error:
            if isinstance(error, socket.gaierror) or time.monotonic() > deadline:
                raise HostError(
                    f"process 0 cannot be reached at {coordinator}: {error.strerror or error}",
                    "start it there, and let this port through",
                ) from error
            time.sleep(_RETRY)


def _own_address(coordinator: str) -> str | None:
    """The address of this machine on its way to the coordinator."""
    host, _, port = coordinator.rpartition(":")
    with suppress(OSError, ValueError):
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # sends nothing
            return probe.getsockname()[0]
    return None


def _choose_collectives(hosts: JoinedHosts) -> None:
    """Have Gloo listen at this machine's address: by itself it takes what its name stands for, often 127.0.1.1.

    Processes that make steps apart do without: the devices of one have memory in common.
    """
    import jax
    from jax._src import distributed, xla_bridge
    from jax.extend.backend import register_backend_factory

    runtime: Any = distributed._jax  # pyright: ignore[reportPrivateImportUsage]

    def make_client() -> Any:
        if hosts.are_apart:
            jax.config.update("jax_cpu_collectives_implementation", None)
            return xla_bridge.make_cpu_client()
        address = _own_address(distributed.global_state.coordinator_address or "")
        named = {"hostname": address} if address else {}
        gloo = runtime.make_gloo_tcp_collectives(distributed_client=distributed.global_state.client, **named)
        return xla_bridge.make_cpu_client(gloo)

    register_backend_factory("cpu", make_client, priority=0, fail_quietly=False)


def _hear_that_process_0_is_gone(hosts: JoinedHosts) -> None:
    """Hear of it where C++ would say "terminate called", of an exception that nobody handles (`_initialize`)."""
    terminate = ctypes.CFUNCTYPE(None)(hosts.lose_first)
    with suppress(OSError, AttributeError):  # it is GNU's
        ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE(terminate)  # std::set_terminate
        atexit.register(lambda kept: None, terminate)  # it must live as long as the program
