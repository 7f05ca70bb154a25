"""How fast this machine is: the rows of `charlstm benchmark`."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from charlstm.config import ModelConfig
from charlstm.model.parameters import initial_parameters
from charlstm.options import Precision, SampleOptions, TrainOptions
from charlstm.sampling.filters import Filters
from charlstm.sampling.generation import generate_ids
from charlstm.sampling.prompt import PromptState, read_prompt
from charlstm.sampling.repetition import LOOK_BACK
from charlstm.training.choices import weights_used
from charlstm.training.machine import Machine, per_second, training_speed
from charlstm.training.plan import resolve

VOCABULARY = 65  # of Shakespeare's characters
CHARACTERS = 1_000_000
_PEAK_SIZE = 2048
_SAMPLE_LENGTH = 1280
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
        options = TrainOptions(hidden_size=hidden_size, steps=1000, precision=precision)
        plan = resolve(options, CHARACTERS, VOCABULARY, devices, machine=Machine(precision, peaks[precision]))
        training = training_speed(plan.model, plan.training, each)
        weights = weights_used(plan.model.layers, hidden_size, VOCABULARY)
        share = 6 * weights * training / peaks[precision]
        yield Row(hidden_size, precision, training, share, sampling_speed(plan.model, 1, each / 2))


def sampling_speed(model: ModelConfig, streams: int, seconds: float, precision: Precision = "float32") -> float:
    """Characters per second sampled as `sample` does by default, all streams together."""
    params = initial_parameters(model, 0)
    states, logits = read_prompt(model, params, np.zeros(1, np.int32))
    after = PromptState(states, logits, np.zeros(LOOK_BACK, np.int32), "")

    filters = Filters.of(SampleOptions())

    def sample() -> None:
        seeds = range(streams)
        for _ in generate_ids(model, params, [after] * streams, _SAMPLE_LENGTH, filters, seeds, precision=precision):
            pass

    return per_second(sample, _SAMPLE_LENGTH * streams, seconds)


def peak_speed(precision: Precision, seconds: float) -> float:
    """Floating point operations per second of a large square product on all cores."""
    x = jnp.ones((_PEAK_SIZE, _PEAK_SIZE), jnp.dtype(precision))
    product = jax.jit(lambda x: jnp.matmul(x, x, preferred_element_type=jnp.float32))
    return per_second(lambda: jax.block_until_ready(product(x)), 2 * _PEAK_SIZE**3, seconds)
