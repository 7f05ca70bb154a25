"""How JAX is set up, in one place: cores as devices, compiled programs kept between runs, memory kept between steps.

Nothing here overrides what the user has set: JAX's own environment variables win. `CHARLSTM_CACHE_DIR` moves the
caches, `JAX_ENABLE_COMPILATION_CACHE=0` switches the one for compiled programs off, `CHARLSTM_CPU_DEVICES=n` uses n
cores.
"""

import ctypes
import math
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from charlstm import __version__
from charlstm.errors import StorageError
from charlstm.files import cache_folder


def cores() -> int:
    """The processor cores that this process may use: of its affinity, within the quota of its container."""
    wish = os.environ.get("CHARLSTM_CPU_DEVICES", "")
    if wish.isdecimal() and int(wish) > 0:
        return int(wish)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """How many processors' time the control groups of this process grant it, None if there is no limit; Linux only.

    `cpu.max` is that of version 2 ("max 100000" is none), `cpu.cfs_quota_us` that of version 1 (-1 is none). A group
    is also limited by those above it. `root` holds `proc` and `sys`.
    """
    quotas: list[float] = []
    for version_1, folder in _cpu_groups(root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if version_1:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            else:
                quota, period = (folder / "cpu.max").read_text().split()
            if quota.strip() != "max" and int(quota) > 0:
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _cpu_groups(root: Path) -> list[tuple[bool, Path]]:
    """Every folder that may hold a limit: that of the group of this process and those above it, up to its mount."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[tuple[bool, Path]] = []
    for line in lines:  # 0::/group of version 2, or 4:cpu,cpuacct:/group of version 1
        _, controllers, group = line.split(":", 2)
        version_1 = "cpu" in controllers.split(",")
        if version_1 or not controllers:
            mount = root / "sys/fs/cgroup" / (controllers if version_1 else "")
            parts = [part for part in group.split("/") if part not in ("", "..")]
            # In a container the mount may be the group itself, so that the path leads nowhere and its end is the mount.
            folders += [(version_1, mount.joinpath(*parts[:depth])) for depth in range(len(parts), -1, -1)]
            if version_1:
                folders += [(True, root / "sys/fs/cgroup/cpu")]
    return folders


def set_up_jax() -> None:
    """Configure JAX; call it before the first array is made."""
    _keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's log lines are not for users
    import jax

    def prefer(name: str, value: object) -> None:
        if name.upper() not in os.environ:
            jax.config.update(name, value)

    if "device_count" not in os.environ.get("XLA_FLAGS", ""):
        prefer("jax_num_cpu_devices", cores())
    # Small programs count too: with the default threshold of a second the start took 2.5 s instead of 1.1 s.
    prefer("jax_persistent_cache_min_compile_time_secs", 0.0)
    prefer("jax_persistent_cache_min_entry_size_bytes", 0)
    with suppress(StorageError):  # without a cache everything works, only the start is slower
        prefer("jax_compilation_cache_dir", str(cache_folder("xla", f"{jax.__version__}-{_processor()}")))


def versions() -> dict[str, str]:
    """The versions that a run is made with, for its config."""
    names = ("jax", "flax", "optax", "numpy")
    return {"charlstm": __version__, "python": platform.python_version()} | {name: version(name) for name in names}


def processor() -> str:
    """The name of this machine's processor, and the instruction sets that matter for products."""
    facts = _cpu_facts()
    flags = facts.get("flags", facts.get("Features", "")).split()
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "BF16"}
    sets = [name for flag, name in known.items() if flag in flags]
    name = facts.get("model name") or platform.processor() or platform.machine() or "unknown processor"
    return f"{name} ({', '.join(sets)})" if sets else name


def _processor() -> str:
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


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of giving them back to the kernel.

    Every call of a compiled program allocates its temporaries anew; if their pages were returned in between, each
    call faults them in again, which took 40% of a step (784 against 480 us a time step at 512 hidden units). One arena
    serves all threads, as an arena of a thread's own holds blocks of at most 64 MB: all else would come from the
    kernel and go back there (2x512, windows of 128: 11,700 against 14,900 characters/s).
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
    mallopt(m_mmap_max, 0)  # no block is mapped for itself; M_MMAP_THRESHOLD is promised up to 32 MB only (mallopt(3))
    mallopt(m_trim_threshold, 2**31 - 1)
    mallopt(m_arena_max, 1)
