"""How fast this machine is: characters per second of training and of drawing, and the speed of its products."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from charlstm.batching import Windows
from charlstm.config import ModelConfig, Precision, SamplingConfig, TrainingConfig, Wishes
from charlstm.model import initial_parameters
from charlstm.optimizer import Schedule
from charlstm.sampling import generate_ids
from charlstm.sizing import Machine, fit, weights_used
from charlstm.training import Stepper, initial_state

VOCABULARY = 65  # of Shakespeare's characters
CHARACTERS = 1_000_000
_PEAK_SIZE = 2048
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Row:
    """Characters per second of one layer of `hidden_size`; `share_of_peak` is of the speed of large products."""

    hidden_size: int
    precision: Precision
    training: float
    share_of_peak: float
    sampling: float


def measure(hidden_sizes: tuple[int, ...], devices: int, seconds: float) -> Iterator[Row]:
    """Measure every size in both precisions, with the optimizer and the windows of `train`; about `seconds` in all."""
    each = seconds / (len(_PRECISIONS) * (1 + 1.5 * len(hidden_sizes)))
    peaks = {precision: peak_speed(precision, each) for precision in _PRECISIONS}
    for hidden_size, precision in itertools.product(hidden_sizes, _PRECISIONS):
        wishes = Wishes(hidden_size=hidden_size, steps=1000, precision=precision)
        settings = fit(wishes, CHARACTERS, VOCABULARY, devices, machine=Machine(precision, peaks[precision]))
        training = training_speed(settings.model, settings.training, each)
        weights = weights_used(settings.model.layers, hidden_size, VOCABULARY)
        share = 6 * weights * training / peaks[precision]
        yield Row(hidden_size, precision, training, share, sampling_speed(settings.model, 1, each / 2))


def training_speed(model: ModelConfig, training: TrainingConfig, seconds: float) -> float:
    """Characters per second of the whole training step, as `train` makes it."""
    ids = np.random.default_rng(0).integers(0, model.vocabulary_size, CHARACTERS).astype(np.uint8)
    windows = Windows(ids, training.batch_size, training.sequence_length)
    stepper = Stepper(model, training, windows, initial_state(model, training))
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
    return per_second(partial(make, count), count * windows.characters_per_step, seconds)


def sampling_speed(model: ModelConfig, streams: int, seconds: float, precision: Precision = "float32") -> float:
    """Characters per second drawn at temperature 0.8, all streams together."""
    params, config = initial_parameters(model, 0), SamplingConfig(length=1280)

    def draw() -> None:
        for _ in generate_ids(model, params, np.zeros(1, np.int32), config, 0, streams, precision):
            pass

    return per_second(draw, config.length * streams, seconds)


def peak_speed(precision: Precision, seconds: float) -> float:
    """Floating point operations per second of a large square product on all cores."""
    x = jnp.ones((_PEAK_SIZE, _PEAK_SIZE), jnp.dtype(precision))
    product = jax.jit(lambda x: jnp.matmul(x, x, preferred_element_type=jnp.float32))
    return per_second(lambda: jax.block_until_ready(product(x)), 2 * _PEAK_SIZE**3, seconds)


def per_second(once: Callable[[], object], amount: float, seconds: float) -> float:
    """`amount` per second of `once`: the median over as many calls as fit, after a first one that compiles."""
    once()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    return amount / statistics.median(times)
