"""How fast this machine is: the rows of `charlstm benchmark`."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from charlstm.config import Precision, Wishes
from charlstm.training.plan import fit, weights_used
from charlstm.training.machine import Machine, peak_speed, sampling_speed, training_speed

VOCABULARY = 65  # of Shakespeare's characters
CHARACTERS = 1_000_000
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
