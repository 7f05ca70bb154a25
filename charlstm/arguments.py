"""Functions that take the fields of an options class as their arguments, so that each option is declared once."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from charlstm.schema import options_in

P = ParamSpec("P")
Self = TypeVar("Self")
Options = TypeVar("Options")
Result = TypeVar("Result")


def takes(kind: Callable[P, Options]) -> Callable[[Callable[[Options], Result]], Callable[P, Result]]:
    """Make a function of one options object a function of the arguments that make this object."""

    def decorate(function: Callable[[Options], Result]) -> Callable[P, Result]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            return function(kind(*args, **kwargs))

        _show_arguments(call, kind, [])
        return call

    return decorate


def method_takes(
    kind: Callable[P, Options],
) -> Callable[[Callable[[Self, Options], Result]], Callable[Concatenate[Self, P], Result]]:
    """The same for a method."""

    def decorate(method: Callable[[Self, Options], Result]) -> Callable[Concatenate[Self, P], Result]:
        @functools.wraps(method)
        def call(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> Result:
            return method(self, kind(*args, **kwargs))

        _show_arguments(call, kind, [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)])
        return call

    return decorate


def _show_arguments(call: Any, kind: Any, first: list[inspect.Parameter]) -> None:
    """What `help` shows: the arguments, and after the docstring what each of them means."""
    signature = inspect.signature(kind)
    returned = inspect.signature(call.__wrapped__).return_annotation
    call.__signature__ = signature.replace(
        parameters=[*first, *signature.parameters.values()], return_annotation=returned
    )
    lines = [f"    {name}: {about.help}" for name, about in options_in(kind).items()]
    call.__doc__ = "\n".join([inspect.cleandoc(call.__doc__ or ""), "", "Options:", *lines])
