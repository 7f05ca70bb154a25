"""How a text is cut: into windows of T characters of B contiguous streams. A window is a pure function of the step.

For training the text is one ring of N - 1 pairs (a character, its successor). Stream b starts at pair b (N - 1) / B
and every stream simply reads on, T pairs a step, into what its neighbour has read before: the state that is carried
fits the text at every step, no pair is left out, and only where the ring closes does a state meet a text that does not
follow (the pair itself is always a true one: the last character never "predicts" the first).

B: streams.  T: characters of a window.  N: characters of the text.  K: steps.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a text `ids` `[N]`, for `batch_size` streams of `sequence_length` characters.

    Of these only the `own` streams are read, all of them unless others read the rest.
    """

    ids: np.ndarray
    batch_size: int
    sequence_length: int
    own: range | None = None

    @property
    def characters_per_step(self) -> int:
        """How many characters one step predicts: B T."""
        return self.batch_size * self.sequence_length

    def epoch(self, step: int) -> float:
        """How often the text has been read after `step` steps."""
        return step * self.characters_per_step / (len(self.ids) - 1)

    def window(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a step, each `[T, B]` in the type of `ids`, of the streams that are read here."""
        pairs = len(self.ids) - 1
        streams = np.arange(self.batch_size) if self.own is None else np.array(self.own)
        starts = streams * pairs // self.batch_size + step * self.sequence_length
        places = (starts + np.arange(self.sequence_length)[:, None]) % pairs
        return self.ids[places], self.ids[places + 1]

    def windows(self, step: int, count: int, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and targets of `count` steps, `[max_steps, T, B]` each; zeros after the last one."""
        streams = self.batch_size if self.own is None else len(self.own)
        both = np.zeros((2, max_steps, self.sequence_length, streams), self.ids.dtype)
        for k in range(count):
            both[:, k] = self.window(step + k)
        return both[0], both[1]


def masked_pairs(ids: np.ndarray, positions: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Characters of `ids` `[N]` at any `positions`, their successors, and float32 `mask`: 1 where a pair counts.

    Positions from N - 1 on have no successor and never count.
    """
    pairs = len(ids) - 1
    mask = (mask & (positions < pairs)).astype(np.float32)
    positions = np.minimum(positions, pairs - 1)
    return ids[positions], ids[positions + 1], mask
