"""How JAX is set up, in one place: cores as devices, compiled programs kept between runs, memory kept between steps.

Nothing here overrides what the user has set: JAX's own environment variables win. `CHARLSTM_CACHE_DIR` moves the
caches, `JAX_ENABLE_COMPILATION_CACHE=0` switches the one for compiled programs off, `CHARLSTM_CPU_DEVICES=n` uses n
cores.
"""

import ctypes
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
    """The processor cores that this process may use."""
    wish = os.environ.get("CHARLSTM_CPU_DEVICES", "")
    if wish.isdecimal() and int(wish) > 0:
        return int(wish)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def _processor() -> str:
    """Compiled programs hold instructions that another processor may lack."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if ":" in line)
        names = {key.strip(): value.strip() for key, value in fields.items()}
        marks = [names.get(key, "") for key in ("cpu family", "model", "stepping")]
        return "-".join([platform.machine(), *filter(None, marks)])
    return platform.machine() or "unknown"


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
