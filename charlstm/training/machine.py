"""How fast this machine trains: measured by a piece of the recurrence, and by whole training steps."""

import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.model.lstm import LSTMState, lstm_scan
from charlstm.options import Precision, PrecisionOption
from charlstm.runtime.hosts import ALONE, Hosts
from charlstm.runtime.memory import available_memory
from charlstm.runtime.mesh import STREAMS, make_mesh
from charlstm.text.batches import Windows
from charlstm.training.decisions import Measure
from charlstm.training.local_steps import make_stepper
from charlstm.training.optimizer import Schedule
from charlstm.training.steps import Stepper, initial_state

_CHARACTERS = 1_000_000
# The machine is first judged by a piece of the recurrence, a few time steps of this shape.
_PIECE_UNITS, _PIECE_STREAMS, _PIECE_STEPS, _PIECE_EFFICIENCY = 384, 16, 16, 0.82
_MIN_GAIN = 1.1  # in speed, of bfloat16
# Where bfloat16 is so much faster in the piece, whole steps are asked, which have large products, too: on a Zen 5 with
# jax 0.12 they are from 1.1 to 1.55 times as fast where the piece says 1.0.
_DOUBT = 0.93, 1.35
_SMALL_UNITS = 128  # fewer are fast enough in either


class Machine(NamedTuple):
    """What decides sizes: the better precision, its floating point operations per second in large steps, and memory.

    `memory` is in bytes, None if it is not known. The `rival` is another precision, which may be better in whole steps.
    """

    precision: Precision
    speed: float
    memory: int | None = None
    rival: Precision | None = None

    def as_measured(self, measure: Callable[[Precision], float], expected: float) -> "Machine":
        """The same after steps were measured in characters per second, where so many were `expected` of them.

        `measure` is asked about both precisions if there is a rival.
        """
        both = (self.precision, self.rival)
        speeds: dict[Precision, float] = {precision: measure(precision) for precision in both if precision}
        precision = better_precision(speeds)
        return self._replace(precision=precision, speed=self.speed * speeds[precision] / expected, rival=None)


def better_precision(speeds: dict[Precision, float]) -> Precision:
    """The precision to train in: bfloat16 only where it is at least a tenth faster."""
    if "float32" not in speeds or speeds.get("bfloat16", 0.0) >= _MIN_GAIN * speeds["float32"]:
        return "bfloat16"
    return "float32"


def measure_machine(hidden_size: int | None = None, asked: PrecisionOption = "auto") -> Machine:
    """Time a piece of the recurrence with its gradient."""
    H, T, tries = hidden_size or _PIECE_UNITS, _PIECE_STEPS, 9
    mesh = make_mesh(_PIECE_STREAMS)
    B = _PIECE_STREAMS // mesh.size  # of a device

    def piece(kernel, precision):
        def total(kernel):
            outputs, _ = lstm_scan(jnp.ones((T, B, 4 * H)), kernel, LSTMState.zeros(B, H), precision)
            return outputs.sum()

        return jax.lax.pmean(jax.grad(total)(kernel)[0, 0], STREAMS)

    def compiled(precision: Precision) -> Callable[..., jax.Array]:
        spread = partial(jax.shard_map, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False)
        return jax.jit(spread(partial(piece, precision=jnp.dtype(precision))))

    precisions: tuple[Precision, ...] = get_args(Precision)
    pieces: dict[Precision, Callable[..., jax.Array]] = {
        precision: compiled(precision) for precision in precisions if asked in ("auto", precision)
    }
    kernel = jax.device_put(jnp.ones((H, 4 * H)) / H, jax.NamedSharding(mesh, P()))
    best: dict[Precision, float] = dict.fromkeys(pieces, math.inf)
    for attempt in range(tries + 1):  # taking turns, so that what else the machine does meets both
        for precision, run in pieces.items():
            began = time.perf_counter()
            run(kernel).block_until_ready()
            if attempt:  # the first one compiles
                best[precision] = min(best[precision], time.perf_counter() - began)
    operations = 6 * 4 * H**2 * T * _PIECE_STREAMS / _PIECE_EFFICIENCY
    speeds: dict[Precision, float] = {precision: operations / seconds for precision, seconds in best.items()}
    precision = better_precision(speeds)
    others: list[Precision] = [other for other in speeds if other != precision]
    in_doubt = others and H >= _SMALL_UNITS and _DOUBT[0] <= speeds["bfloat16"] / speeds["float32"] < _DOUBT[1]
    return Machine(precision, speeds[precision], available_memory(), others[0] if in_doubt else None)


def made_up_stepper(model: ModelConfig, training: TrainingConfig, hosts: Hosts = ALONE) -> Stepper:
    """What makes steps of a model on random characters; all processes of a run make them together."""
    ids = np.random.default_rng(0).integers(0, model.vocabulary_size, _CHARACTERS)
    ids = ids.astype(np.min_scalar_type(model.vocabulary_size))
    windows = Windows(ids, training.batch_size, training.sequence_length, hosts.own(training.batch_size))
    return make_stepper(model, training, windows, initial_state(model, training), hosts)


def training_speed(
    model: ModelConfig, training: TrainingConfig, seconds: float, rounds: int = 3, hosts: Hosts = ALONE
) -> float:
    """Characters per second of the whole training step, as `train` makes it, over at least so many `rounds`."""
    hosts.tell(Measure(model, training))
    stepper = made_up_stepper(model, training, hosts)
    windows = stepper.windows
    schedule = Schedule(training.learning_rate, training.warmup)
    step = 0

    def make(count: int) -> None:
        nonlocal step
        goal = step + count
        while step < goal:
            step += stepper.dispatch(step, goal - step, schedule)
        stepper.collect(0)

    make(1)  # compiles
    began = time.perf_counter()
    make(1)
    # As many at once as hide Python's part of the work, and leave time to measure them several times.
    affordable = seconds / 4 / (time.perf_counter() - began)
    count = max(1, min(20_000 // windows.characters_per_step, int(affordable)))
    return per_second(partial(make, count), count * windows.characters_per_step, seconds, rounds)


def per_second(once: Callable[[], object], amount: float, seconds: float, rounds: int = 3) -> float:
    """`amount` per second of `once`: the median over as many calls as fit, after a first one that compiles."""
    once()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < rounds:
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    return amount / statistics.median(times)
