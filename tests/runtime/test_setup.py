"""What JAX is told, and by whom."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import pytest

import charlstm
from charlstm.runs.tensors import load_tensors
from charlstm.runtime.processor import cpu_quota
from charlstm.runtime.setup import each_within

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


REFUSED = """
from charlstm.errors import ConfigError
from charlstm.runtime.setup import set_up_jax
try:
    set_up_jax()
except ConfigError as error:
    print(error.message, error.hint)
"""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JAX_PLATFORMS", "cuda"),
        ("JAX_PLATFORMS", "cpu,"),
        ("JAX_ENABLE_X64", "maybe"),
        ("JAX_NUM_CPU_DEVICES", "0"),
        ("JAX_NUM_CPU_DEVICES", "100000"),
        ("JAX_RANDOM_SEED_OFFSET", "7"),
        ("XLA_FLAGS", "--garbage"),
        ("XLA_FLAGS", "--xla_force_host_platform_device_count=100000"),
        ("CHARLSTM_CPU_DEVICES", "0"),
        ("CHARLSTM_CPU_DEVICES", "many"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence_that_names_the_variable(variable, value, monkeypatch):
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")  # where JAX names no variable, all that are set are named
    if value == "cuda" and shutil.which("nvidia-smi"):
        pytest.skip("there may be one")
    told = called(REFUSED, {"JAX_PLATFORMS": "cpu", variable: value})
    assert variable in told and value in told and "unset this variable" in told


FLAGS = """
import os
from charlstm.runtime import setup
setup._TRIES = {tries}
setup.set_up_jax()
import jax
jax.numpy.ones(3).block_until_ready()
print(os.environ.get("XLA_FLAGS", ""))
"""
GEMM, FUSION = "--xla_gpu_enable_triton_gemm", "--xla_gpu_experimental_enable_fusion_autotuner"


@pytest.mark.parametrize(
    ("tries", "given", "expected"),
    [
        ("setup._TRIES", "", f"{GEMM}=false {FUSION}=false"),
        ("setup._TRIES", f"{GEMM}=true", f"{GEMM}=true {FUSION}=false"),
        ("('xla_gpu_of_old',)", "--xla_gpu_autotune_level=3", "--xla_gpu_autotune_level=3"),
    ],
    ids=["by itself", "what the user says stands", "a flag that XLA does not know"],
)
def test_on_a_machine_with_cuda_xla_is_told_to_compile_quickly(tmp_path, tries, given, expected):
    package = tmp_path / "jax_cuda13_plugin"
    package.mkdir()
    (package / "__init__.py").touch()
    program = FLAGS.format(tries=tries)
    assert called(program, {"XLA_FLAGS": given, "PYTHONPATH": str(tmp_path)}) == f"{expected}\n"
    without = called(program, {"XLA_FLAGS": given})
    assert without == f"{given}\n" or find_spec("jax_cuda13_plugin")


def called(program: str, variables: dict[str, str]) -> str:
    """What a program prints on standard output; it has nothing to say on the other."""
    process = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


OTHER_SETTINGS = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_DEBUG_INFS": "1",
    "JAX_DEBUG_NANS": "1",
    "JAX_DISABLE_JIT": "1",
    "JAX_NO_TRACING": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_CHECK_TRACER_LEAKS": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_COMPILATION_CACHE_MAX_SIZE": "1",
    "JAX_RAISE_PERSISTENT_CACHE_ERRORS": "1",
}


@pytest.mark.parametrize(
    ("variables", "before"),
    [(OTHER_SETTINGS, ""), ({}, "import jax; jax.config.update('jax_enable_x64', True); jax.numpy.ones(3)")],
    ids=["variables", "a program that uses JAX"],
)
def test_other_types_and_random_numbers_change_nothing_and_stay_those_of_the_caller(
    tmp_path, text_file, variables, before
):
    here, there = (tmp_path / name for name in ("here", "there"))
    sizes = {"hidden_size": 12, "batch_size": 4, "sequence_length": 16, "precision": "float32", "dropout": 0.2}
    for run in (here, there):
        charlstm.train(text_file, run=run, steps=8, sample_every=0, should_stop=lambda: True, **sizes)
    charlstm.train(run=here, resume=True)
    program = f"""
{before}
import charlstm
charlstm.train(run={str(there)!r}, resume=True)
pieces = charlstm.load({str(there)!r}).stream("The", length=50, seed=3, top_k=5)
text = next(pieces)
import jax
assert jax.config.jax_enable_x64
print(text + "".join(pieces), end="")
"""
    assert called(program, variables) == charlstm.load(here).sample("The", length=50, seed=3, top_k=5)
    tensors = [load_tensors(run / "weights.safetensors")[0] for run in (here, there)]
    for name, tensor in tensors[0].items():
        np.testing.assert_array_equal(tensor, tensors[1][name])


def test_each_item_is_made_within_a_context_that_has_ended_before_it_is_used():
    log = []

    @contextmanager
    def context():
        log.append("in")
        yield
        log.append("out")

    for item in each_within(context, iter("ab")):
        log.append(item)
    assert log == ["in", "out", "a", "in", "out", "b", "in", "out"]


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
