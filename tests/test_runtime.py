"""What JAX is told, and by whom."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from charlstm.runtime import set_up_jax
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
