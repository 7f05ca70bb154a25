"""Samples on standard output that shows colours, each character tinted by its surprise."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from charlstm.evaluation.characters import Character
    from charlstm.sampling.samples import Sample


def write_tinted(text: "Iterator[Character]") -> bool:
    """Write to standard output, and say whether Ctrl-C ended it: what was written by then is kept."""
    from charlstm.display import console
    from charlstm.display.heatmap import HeatMap

    heat_map, is_interrupted = HeatMap(console.out), False
    try:
        heat_map.write(text)
    except KeyboardInterrupt:
        is_interrupted = True
    heat_map.end()
    if console.on_terminal(console.out):
        console.write("\n")  # the shell's prompt belongs on a line of its own
    return is_interrupted


def as_characters(
    groups: "Iterator[Iterator[list[Sample]]]",
    before: "Callable[[int, Sample], bytes]",
    several: bool,
    is_kept: bool,
) -> "Iterator[Character]":
    """Samples one after the other, the first of those that are sampled at once as it grows.

    `before` is what is written before the sample of a number; it has no surprise. What is not to be kept is dropped as
    soon as it is written, so that memory stays the same however long a sample is.
    """
    from charlstm.evaluation.characters import Character, characters

    number = 0
    for growing in groups:
        samples = next(growing)  # which grow as the others come
        for sample in samples:
            plain = before(number, sample).decode("utf-8", "surrogateescape")
            yield from (Character(0, each, math.nan) for each in plain)
            yield from characters(sample.vocabulary, _growth(sample, growing, is_kept))
            if several:
                yield Character(0, "\n", math.nan)
            number += 1


def _growth(
    sample: "Sample", growing: "Iterator[list[Sample]]", is_kept: bool
) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
    """The code points of a sample and their nats, as it grows; what has ended comes at once."""
    import numpy as np

    done, more = 0, True
    while more:
        ids = np.array(sample.ids[done:], np.uint32)
        yield sample.vocabulary.points[ids], -np.array(sample.log_probabilities[done:])
        done = len(sample.ids)
        if not is_kept:
            sample.forget()
            done = 0
        more = not sample.ended and next(growing, None) is not None
