"""What becomes of the parameters of several processes, each of which has made steps of its own: an outer step.

Douillard et al. 2023, "DiLoCo: Distributed Low-Communication Training of Language Models", algorithm 1: what the
parameters have moved by, on average, is the gradient of an outer optimizer, SGD with Nesterov momentum. Therien et al.
2025, "MuLoCo: Muon is a practical inner optimizer for DiLoCo", has Muon make the steps in between, as here.

P: parameters, in one array.
"""

from collections.abc import Iterable

import numpy as np

RATE, MOMENTUM = 0.7, 0.6  # of DiLoCo 0.7 and 0.9, which overshoot in runs of minutes (RESULTS.md)


def outer_step(
    anchor: np.ndarray, momentum: np.ndarray, moves: Iterable[np.ndarray], rate: float = RATE, decay: float = MOMENTUM
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters `[P]` to go on from, and the new `momentum` `[P]`.

    The processes have started from `anchor` `[P]`; each of the `moves` `[P]` is the anchor less the parameters of one.
    With g their mean, m the momentum and mu its `decay`,

        m <- mu m + g        anchor <- anchor - rate (g + mu m)

    A move that is not finite does not count; if none is, nothing changes.
    """
    total, count = np.zeros_like(anchor), 0
    for move in moves:
        if np.isfinite(move).all():
            total += move
            count += 1
    if not count:
        return anchor, momentum
    gradient = total / np.float32(count)
    momentum = np.float32(decay) * momentum + gradient
    return anchor - np.float32(rate) * (gradient + np.float32(decay) * momentum), momentum
