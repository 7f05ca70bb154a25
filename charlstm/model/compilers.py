"""What loops over time owe to XLA's two compilers: that for CPUs and that for GPUs are slow at different things.

On a CPU a time step costs what it computes and copies; `scan` and `products` say what its compiler must be told. On a
GPU it costs the programs that are started for it, far more than what these compute: so nothing is stored that could be
computed again, and a round of a loop makes several time steps. A training step of 1,024 units and 64 streams of 128
takes 3.9 ms on an H200, PyTorch's with cuDNN 4.1 ms, and in the form that a CPU needs 6.8 ms (RESULTS.md).
"""

from typing import TypeVar

import jax
from jax.lax import optimization_barrier

T = TypeVar("T")

_GPU_STEPS = 8  # 1: 5.7 ms, 8 and 32: 3.9 ms, but 32 takes longer to compile


def is_for_gpu() -> bool:
    """Whether programs are compiled for a GPU."""
    return jax.default_backend() == "gpu"


def once(x: T) -> T:
    """`x`, computed once and stored: a CPU's compiler makes each operation that reads it compute it again, if that is
    cheap. On a GPU that is right."""
    return x if is_for_gpu() else optimization_barrier(x)


def steps_in_round() -> int:
    """How many time steps a round of a loop makes."""
    return _GPU_STEPS if is_for_gpu() else 1
