"""What each character of a text cost a reader, and how sure the reader was before it came."""

from typing import NamedTuple

import numpy as np


class Predictions(NamedTuple):
    """Of M scored characters, in the order of the text, `[M]` float32 each.

    `nats` is what each of them cost; `entropies` are those of the predictions that gave them, in nats, known before the
    character was.
    """

    nats: np.ndarray
    entropies: np.ndarray

    @classmethod
    def empty(cls, M: int) -> "Predictions":
        """Arrays to be filled in."""
        return cls(np.empty(M, np.float32), np.empty(M, np.float32))
