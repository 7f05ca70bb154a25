"""How much memory there is, and what is refused where it is not enough."""

import os
import subprocess
import sys

import jax
import pytest

from charlstm.errors import MemoryLimitError
from charlstm.runtime.memory import available_memory, memory_errors, require_memory

GIB = 2**30
MEMINFO = {"proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable:  3145728 kB\nSwapFree:  1048576 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MEMINFO, 4 * GIB),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "0::/pod/box\n",
                "sys/fs/cgroup/pod/memory.max": f"{3 * GIB}\n",
                "sys/fs/cgroup/pod/memory.current": f"{2 * GIB}\n",
                "sys/fs/cgroup/pod/memory.stat": f"anon 7\nactive_file {GIB // 2}\ninactive_file {GIB // 2}\n",
                "sys/fs/cgroup/pod/box/memory.max": "max\n",
                "sys/fs/cgroup/pod/box/memory.current": f"{GIB}\n",
            },
            2 * GIB,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "5:memory:/docker/f00\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 2}\n",
            },
            1.5 * GIB,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
            },
            0,
        ),
        ({"proc/meminfo": "nonsense\n:\n"}, None),
    ],
    ids=["nothing known", "the machine", "version 2", "version 1", "over its limit", "nonsense"],
)
def test_the_smallest_limit_counts(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert available_memory(tmp_path) == expected


def test_an_accelerator_has_its_own(monkeypatch):
    class Device:
        platform = "gpu"

        def memory_stats(self) -> dict[str, int]:
            return {"bytes_limit": 5 * GIB, "bytes_in_use": GIB}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert available_memory() == 4 * GIB


def test_what_fits_is_not_refused_and_what_does_not_is():
    require_memory(0, "nothing", "do it")
    with pytest.raises(
        MemoryLimitError, match=r"^all of it needs about 1,000,000\.0 GB of memory, but there is .* [MG]B"
    ):
        require_memory(10**15, "all of it", "lower it")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nx")]
)
def test_memory_that_runs_out_is_one_sentence(error):
    with pytest.raises(MemoryLimitError, match="the memory is used up") as found, memory_errors():
        raise error
    assert "\n" not in found.value.message


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="something else"), memory_errors():
        raise RuntimeError("something else")


LIMITED = """
import resource, sys
from charlstm.runtime.setup import ready_jax
from charlstm.errors import MemoryLimitError
try:
    with ready_jax():
        import jax
        from charlstm.runtime.memory import available_memory
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = used + 2 * 10**9
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        assert 1.8e9 < available_memory() <= 2e9
        jax.numpy.ones(10**9).block_until_ready()
except MemoryLimitError as error:
    print(error.message)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much of a limit is used")
def test_the_limit_of_the_process_is_known_and_running_into_it_is_a_sentence():
    process = subprocess.run(
        [sys.executable, "-c", LIMITED], env=os.environ | {}, capture_output=True, text=True, check=False
    )
    assert process.stdout.startswith("the memory is used up: RESOURCE_EXHAUSTED"), process.stderr
