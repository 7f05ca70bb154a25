"""What this machine is: its cores, the quota of a container, the name of its processor. Nothing here needs JAX."""

import math
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from charlstm.errors import ConfigError

MAX_DEVICES = 1024  # of a CPU; each costs threads, and JAX sets no limit


def cores() -> int:
    """The processor cores that this process may use: of its affinity, within the quota of its container.

    Raises:
        ConfigError: `CHARLSTM_CPU_DEVICES` is no number of cores.
    """
    if asked := os.environ.get("CHARLSTM_CPU_DEVICES"):
        if not asked.isdecimal() or not 1 <= int(asked) <= MAX_DEVICES:
            raise ConfigError(
                f"CHARLSTM_CPU_DEVICES is {asked!r}, but must be a number of cores from 1 to {MAX_DEVICES}",
                "unset this variable to use all cores",
            )
        return int(asked)
    quota = cpu_quota()
    return allowed_cores() if quota is None else max(1, min(allowed_cores(), math.ceil(quota)))


def allowed_cores() -> int:
    """The processor cores of the affinity of this process, whatever their time may be."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """How many processors' time the control groups of this process grant it, None if there is no limit; Linux only.

    `cpu.max` is that of version 2 ("max 100000" is none), `cpu.cfs_quota_us` that of version 1 (-1 is none). A group
    is also limited by those above it. `root` holds `proc` and `sys`.
    """
    quotas: list[float] = []
    for version_1, folder in control_groups("cpu", root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if version_1:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            else:
                quota, period = (folder / "cpu.max").read_text().split()
            if quota.strip() != "max" and int(quota) > 0:
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def control_groups(controller: str, root: Path = Path("/")) -> Sequence[tuple[bool, Path]]:
    """Every folder that may hold a limit of `controller`, and whether it is of version 1 of control groups.

    They are that of the group of this process and those above it, up to its mount.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[tuple[bool, Path]] = []
    for line in lines:  # 0::/group of version 2, or 4:cpu,cpuacct:/group of version 1
        _, controllers, group = line.split(":", 2)
        version_1 = controller in controllers.split(",")
        if version_1 or not controllers:
            mount = root / "sys/fs/cgroup" / (controllers if version_1 else "")
            parts = [part for part in group.split("/") if part not in ("", "..")]
            # In a container the mount may be the group itself, so that the path leads nowhere and its end is the mount.
            folders += [(version_1, mount.joinpath(*parts[:depth])) for depth in range(len(parts), -1, -1)]
            if version_1:
                folders += [(True, root / "sys/fs/cgroup" / controller)]
    return folders


def processor() -> str:
    """The name of this machine's processor, and the instruction sets that matter for products."""
    facts = _cpu_facts()
    flags = facts.get("flags", facts.get("Features", "")).split()
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "BF16"}
    sets = [name for flag, name in known.items() if flag in flags]
    name = facts.get("model name") or platform.processor() or platform.machine() or "unknown processor"
    return f"{name} ({', '.join(sets)})" if sets else name


def processor_key() -> str:
    """Compiled programs hold instructions that another processor may lack."""
    facts = _cpu_facts()
    marks = [facts.get(key, "") for key in ("cpu family", "model", "stepping")]
    return "-".join([platform.machine() or "unknown", *filter(None, marks)])


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
