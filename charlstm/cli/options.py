"""What the options of several commands have in common, and how fields of an options class become flags."""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from charlstm.schema import Option, options_in

RUN_HELP = "A run, a weights file, or - for such a file on standard input."
NEWEST = "the newest run in runs/"
TEXT_HELP = (
    "Files (.gz, .bz2, .xz and .zst as what they hold), folders, named corpora (see `charlstm corpora`) or - for "
    "standard input; together one corpus."
)


def options_of(*kinds: type, last: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each option of `kinds`; their values come as the dict `chosen`.

    The command's own arguments stand first, then these flags, then its own options; with `last` these before the flags.
    """
    about = {name: option for kind in kinds for name, option in options_in(kind).items()}
    fields = [field for kind in kinds for field in dataclasses.fields(kind) if field.name in about]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**values: Any) -> None:
            command(chosen={name: values.pop(name) for name in about}, **values)

        own = [each for each in inspect.signature(command).parameters.values() if each.name != "chosen"]
        flags = [_parameter(field, about[field.name]) for field in fields]
        first = [each for each in own if not _is_option(each)]
        own_flags = list(filter(_is_option, own))
        parameters = [*first, *own_flags, *flags] if last else [*first, *flags, *own_flags]
        keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        del run.__wrapped__  # Typer would look at the command's own parameters
        return run

    return decorate


def _is_option(parameter: inspect.Parameter) -> bool:
    return any(isinstance(each, typer.models.OptionInfo) for each in typing.get_args(parameter.annotation))


def _parameter(field: dataclasses.Field, about: Option) -> inspect.Parameter:
    """A field as Typer wants to see it."""
    text = f"{about.help.removesuffix('.')} ({about.bounds.words})." if about.bounds else about.help
    unset = None if field.default is not None else about.unset
    info = typer.Option(
        help=text,
        rich_help_panel=about.group or None,
        show_default=unset or field.default is not None,
        metavar="PATH" if _is_path(field.type) else None,
    )
    annotation = Annotated[_for_typer(field.type), info]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation)


def _for_typer(hint: Any) -> Any:
    """A path may be a string, and is one here: Typer knows no such unions, and `Path` drops what tells ./~ from ~."""
    for several in (list[str], list[int], list[float]):  # a flag that may be given several times
        if several in typing.get_args(hint):
            return several | None
    return str | None if _is_path(hint) else hint


def _is_path(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and Path in typing.get_args(hint)
