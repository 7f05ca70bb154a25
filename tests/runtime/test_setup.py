"""What JAX is told, and by whom."""

import os
import subprocess
import sys

import pytest

from charlstm.runtime.processor import cpu_quota

PROGRAM = """
from charlstm.runtime.setup import set_up_jax
set_up_jax()
import jax
print(len(jax.devices("cpu")), jax.config.jax_persistent_cache_min_compile_time_secs)
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CHARLSTM_CPU_DEVICES": "3"}, ["3", "0.0"]),
        ({"JAX_NUM_CPU_DEVICES": "1", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "7"}, ["1", "7.0"]),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}, ["4", "0.0"]),
    ],
    ids=["its own", "those of JAX", "those of XLA"],
)
def test_variables_of_the_user_win(variables, expected):
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert process.stdout.split() == expected, process.stderr


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (  # a group within a limited one
            {
                "proc/self/cgroup": "0::/pod/box\n",
                "sys/fs/cgroup/pod/cpu.max": "200000 100000",
                "sys/fs/cgroup/pod/box/cpu.max": "max 100000",
            },
            2.0,
        ),
        (  # version 1, in a container: the path is the host's, the mount is the group
            {
                "proc/self/cgroup": "5:memory:/docker/f00\n4:cpu,cpuacct:/docker/f00\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, None),
    ],
    ids=["no groups", "no limit", "version 2", "from above", "version 1", "version 1, no limit", "nonsense"],
)
def test_a_container_has_as_many_cores_as_its_quota_grants(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpu_quota(tmp_path) == expected
