"""How much memory there is, and one sentence where it is not enough."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charlstm.errors import MemoryLimitError
from charlstm.runtime.processor import control_groups

# Logits that exist at once, those of all devices together: 256 MiB, in several copies. With a large vocabulary streams
# are fewer and windows shorter; up to 8,192 rows the largest step that training chooses is not touched.
MAX_LOGITS = 2**26


def require_memory(needed: int, what: str, hint: str) -> None:
    """Refuse what cannot fit, before it is tried; where nothing is known of the memory, nothing is refused.

    Raises:
        MemoryLimitError: `what` needs about `needed` bytes, and there are fewer; `hint` is the way out.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise MemoryLimitError(
            f"{what} needs about {_in_words(needed)} of memory, but there is {_in_words(available)}", hint
        )


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still allocate on a device, None if nothing is known; `root` holds `proc` and `sys`.

    That of an accelerator is its own; all devices of a CPU share what the machine, the control groups and the limits of
    the process leave.
    """
    import jax

    device = jax.local_devices()[0]
    if device.platform != "cpu":
        statistics = device.memory_stats() or {}
        limit = statistics.get("bytes_limit")
        return None if limit is None else max(0, limit - statistics.get("bytes_in_use", 0))
    return min([*_machine(root), *_groups(root), *_limits(root)], default=None)


def sharing_devices(streams: int, members: int = 1) -> int:
    """How many of the devices that share so many streams, of several members, take their memory from one and the
    same."""
    import jax

    from charlstm.runtime.mesh import make_mesh

    return make_mesh(streams, members=members).size if jax.local_devices()[0].platform == "cpu" else 1


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say it in one sentence where memory ran out in spite of all care: in Python, in NumPy or on a device.

    Raises:
        MemoryLimitError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, MemoryError) and not any(mark in text for mark in _MARKS):
            raise
        reason = text.strip().split("\n")[0]
        raise MemoryLimitError(
            f"the memory is used up{reason and f': {reason}'}",
            "a smaller model, fewer streams or shorter windows need less; so does a machine on which less is running",
        ) from error


_MARKS = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "bad_alloc")  # of JAX's own exception


def _in_words(size: int) -> str:
    """`1.3 GB`, `120 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _facts(path: Path) -> dict[str, int]:
    """The numbers of a file of lines `name: number unit` or `name number`; empty where there is none."""
    facts: dict[str, int] = {}
    with suppress(OSError):
        for line in path.read_text("utf-8", "replace").splitlines():
            name, _, rest = line.replace(":", " ").partition(" ")
            number, *unit = rest.split() or [""]
            if number.isdecimal():
                facts[name] = int(number) * (1024 if unit == ["kB"] else 1)
    return facts


def _machine(root: Path) -> list[int]:
    """What the machine could give without taking anything from anybody; Linux only."""
    facts = _facts(root / "proc/meminfo")
    return [facts["MemAvailable"] + facts.get("SwapFree", 0)] if "MemAvailable" in facts else []


def _groups(root: Path) -> list[int]:
    """What is left of the limit of each control group; files that are only cached do not count as used."""
    left: list[int] = []
    for version_1, folder in control_groups("memory", root):
        names = ("limit_in_bytes", "usage_in_bytes") if version_1 else ("max", "current")
        with suppress(OSError, ValueError):  # of "max", which is no limit
            limit, used = (int((folder / f"memory.{name}").read_text()) for name in names)
            facts, prefix = _facts(folder / "memory.stat"), "total_" if version_1 else ""
            cached = sum(facts.get(f"{prefix}{state}_file", 0) for state in ("active", "inactive"))
            left.append(max(0, limit - max(0, used - cached)))
    return left


def _limits(root: Path) -> list[int]:
    """What the limits of this process leave (`ulimit -v`, `ulimit -d`); only Linux says how much of them is used."""
    facts, left = _facts(root / "proc/self/status"), list[int]()
    with suppress(ImportError):
        resource = importlib.import_module("resource")  # not on Windows
        for name, used in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
            limit = resource.getrlimit(getattr(resource, name))[0]
            if limit != resource.RLIM_INFINITY and used in facts:
                left.append(max(0, limit - facts[used]))
    return left
