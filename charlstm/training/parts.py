"""A step in parts that need less memory than the whole: some streams, or some characters of the window, at a time.

Both come to the same loss and gradient, but for rounding. Streams in parts cost only what products of few rows lose;
a window in chunks is computed once more in the backward pass (Chen et al. 2016, "Training deep nets with sublinear
memory cost"), so that only the states between chunks are kept: with chunks of sqrt(T) memory grows with sqrt(T).

T: characters of a window.  B: streams.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

State = TypeVar("State", bound=Any)  # trees of arrays
Inputs = TypeVar("Inputs", bound=Any)
Outputs = TypeVar("Outputs", bound=Any)


def scan_in_chunks(
    function: Callable[[State, Inputs], tuple[State, Outputs]], state: State, inputs: Inputs, length: int | None
) -> tuple[State, Outputs]:
    """`function(state, inputs)`, which reads arrays `[T, ...]` and returns a state and arrays `[T, ...]`.

    It is called for `length` time steps at a time, the last chunk may be shorter; None means all at once. Of each chunk
    only the state before it is kept for the backward pass, and all else is computed again there.
    """
    total = len(jax.tree.leaves(inputs)[0])
    if length is None or length >= total:
        return function(state, inputs)
    count, rest = divmod(total, length)

    def chunked(x: Array) -> Array:
        return x[: total - rest].reshape(count, length, *x.shape[1:])

    # In a loop the two computations of a chunk cannot be taken for one.
    state, outputs = jax.lax.scan(jax.checkpoint(function, prevent_cse=False), state, jax.tree.map(chunked, inputs))
    outputs = jax.tree.map(lambda x: x.reshape(total - rest, *x.shape[2:]), outputs)
    if rest:
        state, last = jax.checkpoint(function)(state, jax.tree.map(lambda x: x[total - rest :], inputs))
        outputs = jax.tree.map(lambda *both: jnp.concatenate(both), outputs, last)
    return state, outputs


def accumulate(gradient_of: Callable[..., Any], parts: int) -> Callable[..., Any]:
    """`gradient_of(params, states, inputs, targets, streams, step) -> ((loss, states), gradient)` in equal `parts`.

    States `[B, H]`, inputs and targets `[T, B]` and the numbers of streams `[B]` are cut along B; loss and gradient are
    the means over all parts, which come one after the other.
    """
    if parts == 1:
        return gradient_of

    def cut(x: Array, axis: int) -> Array:
        return jnp.moveaxis(x.reshape(*x.shape[:axis], parts, -1, *x.shape[axis + 1 :]), axis, 0)

    def accumulated(params, states, inputs, targets, streams, step):
        def add(total, part):
            states, inputs, targets, streams = part
            (loss, states), gradient = gradient_of(params, states, inputs, targets, streams, step)
            return jax.tree.map(lambda sum, each: sum + each / parts, total, (loss, gradient)), states

        start = jnp.float32(0), jax.tree.map(jnp.zeros_like, params)
        cuts = jax.tree.map(lambda x: cut(x, 0), states), cut(inputs, 1), cut(targets, 1), cut(streams, 0)
        (loss, gradient), states = jax.lax.scan(add, start, cuts)
        return (loss, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), states)), gradient

    return accumulated
