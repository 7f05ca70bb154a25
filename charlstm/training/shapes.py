"""How many streams a step reads, and how far: chosen for the text, the time and the devices.

The numbers below were tuned on slices of training parts; what else was tried: tests/benchmarks/RESULTS.md.
"""

from collections.abc import Callable
from typing import NamedTuple

from charlstm.options import TrainOptions
from charlstm.runtime.memory import MAX_LOGITS
from charlstm.runtime.mesh import MIN_STREAMS

MAX_EPOCHS = 20.0  # after that a text is overfitted
_MIN_STEPS = 3000  # that a text should last for


class BatchShape(NamedTuple):
    """Streams x window of a step, and its speed without Muon's work beside that of the largest one (two cores)."""

    streams: int
    window: int
    efficiency: float


# The smallest first. Many small steps learn more than few large ones, but are slower: products of few rows, and Muon's
# work for each. So the smallest one is taken that reads fast enough, beside the largest or for all the text there is;
# for the text only as long as steps are not too many, as each of many has too little to go by (RESULTS.md).
_SHAPES = (
    BatchShape(8, 32, 0.2),
    BatchShape(8, 64, 0.35),
    BatchShape(16, 64, 0.55),
    BatchShape(16, 128, 0.65),
    BatchShape(32, 128, 0.9),
    BatchShape(64, 128, 1.0),
)
_MIN_SPEED = 0.55  # of that of the largest step
_MIN_EPOCHS = 15.0
_MAX_STEPS = 8_000


def choose_shape(readable: Callable[[BatchShape], float], characters: int) -> BatchShape:
    """The smallest step that is fast enough, given how many characters can be read in steps of a shape."""

    def is_fast_enough(shape: BatchShape) -> bool:
        steps = min(readable(shape), MAX_EPOCHS * characters) / (shape.streams * shape.window)
        is_fast = readable(shape) >= _MIN_SPEED * readable(_SHAPES[-1])
        return is_fast or (readable(shape) >= _MIN_EPOCHS * characters and steps <= _MAX_STEPS)

    return next(filter(is_fast_enough, _SHAPES))


def choose_windows(
    options: TrainOptions,
    shape: BatchShape,
    pairs: int,
    devices: int,
    outputs: int,
    notes: list[str],
    processes: int = 1,
) -> tuple[int, int]:
    """Streams and window such that a step reads at most a quarter of the text (or the whole, if asked for).

    Of streams that are not given there are as many for each of the processes.

    What is left open of the two is reduced until the logits of a step are no more than `MAX_LOGITS`.
    """
    window = options.sequence_length or shape.window
    available = (options.epochs or MAX_EPOCHS) * pairs

    def streams(devices: int) -> int:
        return max(-(-shape.streams // devices), MIN_STREAMS) * devices

    # Many devices need many streams, and of a short text these leave few steps: then some devices are left out.
    lasting = (count for count in range(devices, 1, -1) if available >= _MIN_STEPS * streams(count) * window)
    batch_size = options.batch_size or streams(next(lasting, 1))
    asked = batch_size, window
    left_open = options.batch_size is None or options.sequence_length is None
    room = max(1, pairs // 4 if left_open else pairs)
    while batch_size * window > room:
        if window > batch_size:
            window = -(-window // 2)
        elif batch_size > 1:
            batch_size = -(-batch_size // 2)
        else:
            break
    if (batch_size, window) != asked:
        notes.append(
            f"the text is short: {batch_size} streams of {window} characters instead of {asked[0]} of {asked[1]}"
        )
    asked = batch_size, window
    while batch_size * window * outputs > MAX_LOGITS:
        fewer = batch_size > 1 and options.batch_size is None
        if options.sequence_length is None and window > (batch_size if fewer else 1):
            window = -(-window // 2)
        elif fewer:
            batch_size = -(-batch_size // 2)
        else:
            break
    if (batch_size, window) != asked:
        notes.append(
            f"the vocabulary is large: {batch_size} streams of {window} characters instead of {asked[0]} of {asked[1]}"
        )
    if options.batch_size is None:
        batch_size += -batch_size % processes
    return batch_size, window
