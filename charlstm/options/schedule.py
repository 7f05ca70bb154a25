"""The lengths of a run as they were estimated while it trained: what repeats a timed run exactly."""

import itertools
import re

from charlstm.errors import ConfigError, setting


def parse_schedule(text: str | None) -> list[list[int]]:
    """`"0:3206,33:3100"` as `[[0, 3206], [33, 3100]]`: at a step, the number of steps in all.

    Raises:
        ConfigError: it is not of that form, does not begin at 0, does not rise, or has an end that is past.
    """
    if text is None:
        return []
    pairs = [re.fullmatch(r"(\d{1,10}):(\d{1,10})", part.strip()) for part in text.split(",")]
    lengths = [[int(pair[1]), int(pair[2])] for pair in pairs if pair]
    if None in pairs or not is_schedule(lengths):
        raise ConfigError(
            f"{setting('schedule', text)} is not of the form 0:TOTAL,STEP:TOTAL,...", "copy it from the run"
        )
    return lengths


def is_schedule(lengths: list[list[int]]) -> bool:
    """Whether these are steps from 0 on, rising, each with a number of steps in all that is not past and is new."""
    if not all(len(pair) == 2 and pair[0] <= pair[1] < 2**31 for pair in lengths):
        return False
    rises = all(a[0] < b[0] and a[1] != b[1] for a, b in itertools.pairwise(lengths))
    return rises and not (lengths and (lengths[0][0] or not lengths[0][1]))


def format_schedule(lengths: list[list[int]]) -> str:
    """The inverse of `parse_schedule`."""
    return ",".join(f"{step}:{total}" for step, total in lengths)
