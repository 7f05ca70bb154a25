"""JAX as this program needs it for a function of the front door, loaded by the first call and not before."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def with_jax(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function within `ready_jax`; to import even that takes 8 ms, which is not worth the wait for `--help`."""

    @functools.wraps(function)
    def run(*args: P.args, **named: P.kwargs) -> T:
        from charlstm.runtime.setup import ready_jax

        with ready_jax():
            return function(*args, **named)

    return run
