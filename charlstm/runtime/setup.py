"""How JAX is set up, in one place: cores as devices, compiled programs kept between runs, memory kept between steps.

What JAX's environment variables say of devices, memory and caches is done as they say, or refused in a sentence. What
decides results (types, random numbers) or would stop a program that is sound (checks for debugging) is this program's
own, whatever they or the program that calls say: a run goes on bit for bit in any shell. It is so within `ready_jax`
only, for the caller's programs are the caller's.

`CHARLSTM_CACHE_DIR` moves the caches, `JAX_ENABLE_COMPILATION_CACHE=0` switches the one for compiled programs off,
`CHARLSTM_CPU_DEVICES=n` uses n cores.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from charlstm import __version__
from charlstm.errors import ConfigError, StorageError
from charlstm.runtime.compiled import compiled_folder, healed
from charlstm.runtime.memory import memory_errors
from charlstm.runtime.processor import MAX_DEVICES, cores

T = TypeVar("T")

_CUDA_PLUGINS = "jax_cuda12_plugin", "jax_cuda13_plugin"
_TRIES = "xla_gpu_enable_triton_gemm", "xla_gpu_experimental_enable_fusion_autotuner"


@contextmanager
def ready_jax() -> Iterator[None]:
    """JAX as this program needs it, set up if it is not; as a decorator or in a `with` statement.

    Raises:
        ConfigError: the environment asks JAX for what it cannot do.
        MemoryLimitError: memory ran out.
    """
    folder = set_up_jax()
    with ExitStack() as stack:
        for setting in _own_settings():
            stack.enter_context(setting)
        stack.enter_context(healed(folder))
        stack.enter_context(memory_errors())
        yield


def each_within(context: Callable[[], AbstractContextManager[Any]], items: Iterator[T]) -> Iterator[T]:
    """`items`, each made within a new `context()`, which ends before the caller has the item."""
    while True:
        with context():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def _own_settings() -> list[AbstractContextManager[Any]]:
    import jax

    return [
        jax.enable_x64(False),  # parameters and states are float32, seeds and steps 32 bits
        jax.default_prng_impl("threefry2x32"),  # another one draws other parameters, masks and samples
        jax.threefry_partitionable(True),
        jax.default_matmul_precision(None),
        jax.numpy_dtype_promotion("standard"),  # Optax multiplies across types
        jax.numpy_rank_promotion("allow"),
        jax.legacy_prng_key("allow"),
        jax.transfer_guard("allow"),  # ids go to the device, losses come back
        jax.disable_jit(False),  # some minutes a step, and what is donated would be used again
        jax.debug_nans(False),  # a diverging loss has a sentence of its own ...
        jax.debug_infs(False),  # ... and a filtered logit is infinite
        jax.debug_key_reuse(False),
        jax.check_tracer_leaks(False),
        jax.no_tracing(False),
        jax.no_execution(False),
    ]


@cache  # once is enough, and a second call could change nothing
def set_up_jax() -> Path | None:
    """Configure JAX and make its devices, unless the program that calls has used it already.

    Returns the folder of compiled programs if it is this program's.

    Raises:
        ConfigError: the environment asks JAX for what it cannot do.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's log lines are not for users
    try:
        import jax
    except ValueError as error:  # it reads its variables while it is imported
        raise _environment_error(error) from error
    if offset := _told("jax_random_seed_offset"):  # there is no other way to be rid of it
        raise ConfigError(
            f"JAX_RANDOM_SEED_OFFSET is {offset}, which changes what every seed stands for", "unset this variable"
        )
    if _is_in_use():
        return None
    _require_flags()
    if any(map(find_spec, _CUDA_PLUGINS)):
        _compile_quickly()
    _keep_freed_memory()

    def prefer(name: str, value: object) -> None:
        if name.upper() not in os.environ:
            jax.config.update(name, value)

    if "device_count" not in os.environ.get("XLA_FLAGS", ""):
        prefer("jax_num_cpu_devices", cores())
    # Small programs count too: with the default threshold of a second the start took 2.5 s instead of 1.1 s.
    prefer("jax_persistent_cache_min_compile_time_secs", 0.0)
    prefer("jax_persistent_cache_min_entry_size_bytes", 0)
    folder = None
    if _told("jax_compilation_cache_dir") is None:  # not the caller's own
        with suppress(StorageError):  # without a cache everything works, only the start is slower
            folder = compiled_folder(jax.__version__)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            # It is bounded and healed here: JAX's bound needs another package, and its checks end the program.
            jax.config.update("jax_compilation_cache_max_size", -1)
            jax.config.update("jax_compilation_cache_check_contents", False)
            jax.config.update("jax_raise_persistent_cache_errors", False)
    try:
        if _told("jax_num_cpu_devices") not in (-1, *range(1, MAX_DEVICES + 1)):  # -1: not set
            raise ValueError(f"jax_num_cpu_devices must be from 1 to {MAX_DEVICES}")
        jax.local_devices()
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _environment_error(error) from error
    return folder


def _require_flags() -> None:
    """Let another process read `XLA_FLAGS` first: at one that it does not know, XLA ends the process without a word.

    Raises:
        ConfigError: it did.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if not flags:
        return
    if any(int(count) > MAX_DEVICES for count in re.findall(r"device_count=(\d+)", flags)):
        raise ConfigError(f"XLA_FLAGS={flags} asks for more than {MAX_DEVICES} devices", "unset this variable")
    if complaint := _complaint(flags):
        raise ConfigError(f"XLA cannot work with XLA_FLAGS={flags}: {complaint}", "unset this variable")


def _compile_quickly() -> None:
    """Let XLA's compiler for GPUs take the product of a library, and not write dozens of its own to try them.

    That takes four fifths of its time: the steps of 1,024 units are compiled in 13 instead of 51 s, and take 5% longer
    (H200, jax 0.11). What the user says of it stands; a version of XLA that knows these flags no longer does without.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    own = [f"--{name}=false" for name in _TRIES if name not in flags]
    both = " ".join([*flags.split(), *own])
    if own and sys.executable and not _complaint(both):
        os.environ["XLA_FLAGS"] = both


def _complaint(flags: str) -> str | None:
    """What XLA has to say against its `flags`, if it does not take them."""
    if not sys.executable:
        return None
    program = "import jaxlib.xla_client; jaxlib.xla_client.make_cpu_client()"
    variables = os.environ | {"XLA_FLAGS": flags}
    probe = subprocess.run(
        [sys.executable, "-P", "-c", program], env=variables, capture_output=True, text=True, check=False
    )
    if not probe.returncode:
        return None
    lines = probe.stderr.strip().splitlines() or [""]
    return next((line.split("] ", 1)[-1] for line in lines if re.match(r"[EF]\d{4} ", line)), lines[-1])


def _environment_error(error: Exception) -> ConfigError:
    """What JAX does not take: the variables that it speaks of or, where it names none, all that are there."""
    reason = str(error).strip().split("\n")[0]
    names = [name for name in sorted(os.environ) if name.startswith(("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES"))]
    names = [name for name in names if name in reason or name.lower() in reason] or names
    what = " and ".join(f"{name}={os.environ[name]}" for name in names) or "this machine"
    return ConfigError(
        f"JAX cannot work with {what}{reason and f': {reason}'}",
        f"unset {'these variables' if len(names) > 1 else 'this variable'}",
    )


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
