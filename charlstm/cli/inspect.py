"""`charlstm inspect`."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from charlstm.cli import gradients, memory
from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.errors import ConfigError
from charlstm.options import InspectOptions, MemoryOptions
from charlstm.schema import options_in

_SHOWN = "What is shown (one of them)"
_FILES = "Files"


class Output(NamedTuple):
    """How a view is to come out: on the terminal, as JSON, or as files of these names."""

    as_json: bool
    png: str | None
    svg: str | None
    npz: str | None


def _flag(text: str, flag: str) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=_SHOWN)


def _file(text: str, flag: str) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=_FILES, metavar="PATH")


@options_of(InspectOptions, MemoryOptions)
def inspect(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    of_gradients: Annotated[
        bool, _flag("How gradients flow back: their norms by lag, beside other cells.", "--gradients")
    ] = False,
    of_memory: Annotated[
        bool, _flag("How far each cell remembers: small networks are trained on the spot. No run.", "--memory")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    png: Annotated[str | None, _file("The picture as PNG. Needs the extra `plots`.", "--png")] = None,
    svg: Annotated[str | None, _file("The picture as SVG. Needs the extra `plots`.", "--svg")] = None,
    npz: Annotated[str | None, _file("The arrays, for NumPy.", "--npz")] = None,
) -> None:
    """Look inside a model: its card, its gates, its neurons, its gradients, its memory."""
    of_trials = MemoryOptions(**{name: chosen.pop(name) for name in options_in(MemoryOptions)})
    options = InspectOptions(**chosen)  # what is out of range is refused before anything is loaded
    output = Output(as_json, png, svg, npz)
    asked = {"--gradients": of_gradients, "--memory": of_memory}
    wanted = [flag for flag, is_given in asked.items() if is_given]
    if len(wanted) > 1:
        raise ConfigError(f"{' and '.join(wanted)} contradict each other", "give one of them")
    view = wanted[0] if wanted else "card"
    if of_memory:
        memory.show(run, options, of_trials, output)
        return
    if of_trials != MemoryOptions():
        raise ConfigError("--minutes and --seed are for --memory, which is not given")
    if not of_gradients and (options.lags or options.beside):
        raise ConfigError("--lags and --beside are for --gradients, which is not given")
    _VIEWS[view](run, options, output)


# A view is a file of this room: cli/gates.py has `show(run, options, output)`, which loads what it needs.
_VIEWS: dict[str, Callable[[str | None, InspectOptions, Output], None]] = {"--gradients": gradients.show}
