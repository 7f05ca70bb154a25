"""How the work of a step is divided: over the devices, and into parts where it needs more memory than there is."""

import math
from collections.abc import Iterator
from dataclasses import replace

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.errors import setting
from charlstm.runtime.mesh import MIN_STREAMS, make_mesh, sharing
from charlstm.training.footprint import step_memory

# Time of a step: windows in chunks take 1.0 to 1.4 times as long, a part as long as so many more streams of a device
# (RESULTS.md).
_OF_CHUNKS, _OF_PART = 1.3, 7
_MIN_CHUNK = 16


def in_parts(
    model: ModelConfig,
    training: TrainingConfig,
    memory: int,
    accumulate: int | None = None,
    chunk_length: int | None = None,
    processes: int = 1,
) -> TrainingConfig:
    """`training` with its steps in parts that fit into `memory`, the fastest ones; as it is if it fits, or none do.

    What is given of `accumulate` and `chunk_length` stays so. The memory is that of one of so many `processes`, which
    share the streams.
    """
    counts = [accumulate] if accumulate else list(_part_counts(max(1, training.batch_size // processes)))
    lengths = [chunk_length] if chunk_length else [None, *_chunk_lengths(training.sequence_length)]

    def with_parts(count: int, length: int | None) -> TrainingConfig:
        return replace(training, accumulate=count, chunk_length=length)

    def fits(found: TrainingConfig) -> bool:
        return step_memory(model, found, processes) <= memory

    def time(found: TrainingConfig) -> float:
        streams = max(1, found.streams_at_once // processes)
        streams /= make_mesh(streams).size
        return (1 + _OF_PART / streams) * (_OF_CHUNKS if found.characters_at_once < found.sequence_length else 1.0)

    if fits(training) or not fits(with_parts(counts[-1], lengths[-1])):
        return training
    ways = sorted((with_parts(count, length) for count in counts for length in lengths), key=time)
    return next(filter(fits, ways))


def _part_counts(batch_size: int) -> Iterator[int]:
    """In how many parts so many streams can be cut, each of them enough for a device."""
    yield 1
    yield from (n for n in range(2, batch_size // MIN_STREAMS + 1) if batch_size % n == 0)


def _chunk_lengths(window: int) -> Iterator[int]:
    """A half, a quarter and so on of a window, down to its root: states between chunks would become the larger part."""
    least = max(_MIN_CHUNK, math.isqrt(window))
    while (window := -(-window // 2)) >= least:
        yield window


def to_fit(before: TrainingConfig, training: TrainingConfig) -> list[str]:
    """What a user should know of steps whose parts are not those from before, but smaller ones."""
    words = list[str]()
    if training.accumulate != before.accumulate:
        words.append(f"each step is made in {training.accumulate} parts of {training.streams_at_once} streams")
    if training.characters_at_once != before.characters_at_once:
        words.append(f"windows are read in chunks of {training.characters_at_once} characters, twice each")
    return [f"to fit into the memory, {' and '.join(words)}"] if words else []


def idle_devices(training: TrainingConfig, devices: int) -> list[str]:
    """A sentence if some of the devices have nothing to do."""
    used = sharing(training.streams_at_once, devices)
    if used == devices:
        return []
    unit = training.accumulate * devices
    batch_size = unit * max(MIN_STREAMS, -(-training.batch_size // unit))
    return [
        f"{used} of {devices} devices share {training.streams_at_once} streams; "
        f"{setting('batch_size', batch_size)} would use all of them"
    ]
