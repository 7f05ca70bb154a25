"""Copies: how far what was just written repeats what was written before, and a price on going on with it.

The idea is that of DRY ("don't repeat yourself"), for characters: words, names and formulas may come again and again,
a dozen characters and more may not.

V: vocabulary.  S: streams.  N: characters that are looked back at.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

LOOK_BACK = 512  # characters
ALLOWED = 12  # characters that may be repeated freely


class Copies(NamedTuple):
    """The last N ids of each stream, and how many characters before each place are the same as at the very end.

    Where nothing was written yet, the id is -1. `lengths[i]` is that of the text that ends with `recent[i]`.
    """

    recent: Integer[Array, "S N"]
    lengths: Integer[Array, "S N-1"]


def copies_of(recent: np.ndarray) -> Copies:
    """Those of texts that end with `recent` `[S, N]`."""
    S, N = recent.shape
    lengths = np.zeros((S, N - 1), np.int32)
    for back in range(N - 1):  # the character so far before each place, beside that so far before the end
        end = recent[:, N - 1 - back, None]
        same = (recent[:, : N - 1 - back] == end) & (end >= 0) & (lengths[:, back:] == back)
        if not same.any():
            break
        lengths[:, back:] += same
    return Copies(recent.astype(np.int32), lengths)  # type: ignore[arg-type]


def follow(copies: Copies, ids: Integer[Array, " S"]) -> Copies:
    """After one more character of each stream: a copy that it prolongs is longer by one, every other one is none."""
    recent = jnp.concatenate([copies.recent[:, 1:], ids[:, None]], axis=1)
    longer = jnp.minimum(copies.lengths + 1, recent.shape[1])  # a loop that goes on for ever overflows nothing
    return Copies(recent, jnp.where(recent[:, :-1] == ids[:, None], longer, 0))


def discourage(logits: Float[Array, "S V"], copies: Copies, repetition: float) -> Float[Array, "S V"]:
    """Lower each character that would prolong a copy by `repetition` for each character that this is too long.

    For each character the longest copy counts. The loop goes round once for each such character, which are few.
    """
    V = logits.shape[-1]
    too_long = copies.lengths - ALLOWED
    following = copies.recent[:, 1:]
    # Length and character in one number, so that one maximum finds both: below 2^31, as 512 x 0x110000 is.
    keys = jnp.where(too_long > 0, too_long * V + following, -1)

    def any_left(carry):
        return (carry[1] >= 0).any()

    def lower_longest(carry):
        logits, keys = carry
        longest = keys.max(-1, keepdims=True)
        character = jnp.where(longest >= 0, longest % V, -1)
        is_it = jnp.arange(V)[None] == character
        price = (repetition * (longest // V)).astype(logits.dtype)
        return jnp.where(is_it, logits - price, logits), jnp.where(following == character, -1, keys)

    return jax.lax.while_loop(any_left, lower_longest, (logits, keys))[0]
