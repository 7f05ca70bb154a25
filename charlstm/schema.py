"""What an option is: a field with help, a group and bounds; and how values are held against type and bounds."""

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple

from charlstm.errors import ConfigError, setting


class Bounds(NamedTuple):
    """A closed range and how it is said."""

    low: float
    high: float
    words: str

    def check(self, name: str, value: float | None) -> None:
        """Hold a value that is set against the range; NaN is in none.

        Raises:
            ConfigError: it is outside.
        """
        if value is not None and not self.low <= value <= self.high:
            raise ConfigError(f"{setting(name)} is {value}, but must be {self.words}")


ABOVE_ZERO = math.ulp(0.0)
POSITIVE = Bounds(ABOVE_ZERO, 1e12, "above 0")
FLOAT32 = Bounds(2**-126, 1e12, "from 1.2e-38 to 1e+12")  # what devices compute with: below it all is 0
NOT_NEGATIVE = Bounds(0, 1e6, "0 or above")
COUNT = Bounds(1, 2**31 - 1, "a whole number from 1 on")
UP_TO_ALL = Bounds(0, 2**31 - 1, "0 or above")
BELOW_ONE = Bounds(0, 0.9999999, "from 0 to 0.9999999")  # float32 takes what comes nearer to 1 for 1


def from_one(high: int) -> Bounds:
    """The whole numbers from 1 to `high`."""
    return Bounds(1, high, f"from 1 to {high}")


class Option(NamedTuple):
    """What is known of an option beside its name, type and default."""

    help: str
    group: str = ""
    bounds: Bounds | None = None
    unset: str = ""  # what None stands for


def option(default: Any, text: str, group: str = "", bounds: Bounds | None = None, unset: str = "") -> Any:
    """A field that is an option."""
    return dataclasses.field(default=default, metadata={"option": Option(text, group, bounds, unset)})


def check_text(name: str, value: object) -> None:
    """Refuse what is no text.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {value!r}, but must be a string")


def options_in(kind: type) -> dict[str, Option]:
    """The fields of `kind` that are options, in order."""
    return {f.name: f.metadata["option"] for f in dataclasses.fields(kind) if "option" in f.metadata}


def check_options(options: Any) -> None:
    """Hold every option of a dataclass against its type and its bounds.

    Raises:
        ConfigError: one is of another type, or outside of its bounds.
    """
    hints = typing.get_type_hints(options.__class__)
    for name, about in options_in(options.__class__).items():
        value, hint = getattr(options, name), hints[name]
        if not fits(value, hint):
            raise ConfigError(f"{setting(name)} is {value!r}, but must be {_type_in_words(hint)}")
        if about.bounds:
            about.bounds.check(name, value)


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the type `hint`, exactly; a whole number is a float, too, and a bool is no number."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in typing.cast(list[Any], value))
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(item, arguments[1]) for item in typing.cast(dict[Any, Any], value).values()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)


def _type_in_words(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if isinstance(hint, types.UnionType):
        return " or ".join(map(_type_in_words, typing.get_args(hint)))
    names = {
        int: "a whole number", float: "a number", bool: "True or False", str: "a string", Path: "a path",
        list[str]: "a list of strings", list[int]: "a list of whole numbers",
    }  # fmt: skip
    return names.get(hint, "None")
