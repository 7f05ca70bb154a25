"""How JAX is set up, in one place: cores as devices, compiled programs kept between runs, memory kept between steps.

Nothing here overrides what the user has set: JAX's own environment variables win, and a JAX that is in use already is
left as it is. `CHARLSTM_CACHE_DIR` moves the caches, `JAX_ENABLE_COMPILATION_CACHE=0` switches the one for compiled
programs off, `CHARLSTM_CPU_DEVICES=n` uses n cores.
"""

import os
import platform
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from charlstm import __version__
from charlstm.errors import StorageError
from charlstm.files import cache_folder
from charlstm.runtime.processor import cores, processor_key


@cache  # once is enough, and a second call could change nothing
def set_up_jax() -> None:
    """Configure JAX, unless the program that calls has used it already."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's log lines are not for users
    import jax

    if _is_in_use():
        return
    _keep_freed_memory()

    def prefer(name: str, value: object) -> None:
        if name.upper() not in os.environ:
            jax.config.update(name, value)

    if "device_count" not in os.environ.get("XLA_FLAGS", ""):
        prefer("jax_num_cpu_devices", cores())
    # Small programs count too: with the default threshold of a second the start took 2.5 s instead of 1.1 s.
    prefer("jax_persistent_cache_min_compile_time_secs", 0.0)
    prefer("jax_persistent_cache_min_entry_size_bytes", 0)
    if _told("jax_compilation_cache_dir") is not None:  # the caller's own
        return
    with suppress(StorageError):  # without a cache everything works, only the start is slower
        prefer("jax_compilation_cache_dir", str(cache_folder("xla", f"{jax.__version__}-{processor_key()}")))


def _is_in_use() -> bool:
    """Whether JAX has made its devices; it has no other public way to tell than to refuse another number of them."""
    import jax

    number = _told("jax_num_cpu_devices")
    try:
        jax.config.update("jax_num_cpu_devices", 2**20)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", number)
    return False


def _told(name: str) -> Any:
    """What JAX's setting `name` is; its types do not know all of them in jax 0.10."""
    import jax

    return getattr(jax.config, name)


def versions() -> dict[str, str]:
    """The versions that a run is made with, for its config."""
    from importlib.metadata import version

    names = ("jax", "flax", "optax", "numpy")
    return {"charlstm": __version__, "python": platform.python_version()} | {name: version(name) for name in names}


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of giving them back to the kernel.

    Every call of a compiled program allocates its temporaries anew; if their pages were returned in between, each
    call faults them in again, which took 40% of a step (784 against 480 us a time step at 512 hidden units). One arena
    serves all threads, as an arena of a thread's own holds blocks of at most 64 MB: all else would come from the
    kernel and go back there (2x512, windows of 128: 11,700 against 14,900 characters/s).
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
    mallopt(m_mmap_max, 0)  # no block is mapped for itself; M_MMAP_THRESHOLD is promised up to 32 MB only (mallopt(3))
    mallopt(m_trim_threshold, 2**31 - 1)
    mallopt(m_arena_max, 1)
