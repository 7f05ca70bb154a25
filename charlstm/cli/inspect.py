"""`charlstm inspect`."""

import importlib
from typing import Annotated, Any, NamedTuple

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.display.console import as_flag
from charlstm.errors import ConfigError
from charlstm.options import InspectOptions

_SHOWN = "What is shown (one of them)"
_GATES = "The heat map of gates"
_FILES = "Files"

# What each view goes with. A view is a file of this room that has `show(run, options, output)`.
_TEXT = {"text", "file", "own_text", "unknown", "encoding"}
_VIEWS = {
    "gates": {"run", *_TEXT, "layer", "shown", "units", "gate", "as_json", "png", "svg", "npz"},
    "neurons": {"run", *_TEXT, "layer", "unit", "as_json", "png", "svg", "npz"},
    "attribution": {"run", *_TEXT, "at", "last", "as_json", "png", "svg", "npz"},
}


class Output(NamedTuple):
    """How a view is to come out: on the terminal, as JSON, or as files of these names; what a heat map shows."""

    as_json: bool
    png: str | None
    svg: str | None
    npz: str | None
    units: int
    gate: str | None


def _flag(text: str, flag: str, panel: str = _SHOWN) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=panel)


def _file(text: str, flag: str) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=_FILES, metavar="PATH")


@options_of(InspectOptions)
def inspect(
    chosen: dict[str, Any],
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    gates: Annotated[
        bool, _flag("What the gates do over a text, and how long a memory lasts; this is the default.", "--gates")
    ] = False,
    neurons: Annotated[
        bool,
        _flag("Which units follow which features of a text, beyond luck, and the best painted over it.", "--neurons"),
    ] = False,
    attribution: Annotated[bool, _flag("Which earlier characters a prediction rests on.", "--attribution")] = False,
    units: Annotated[
        int,
        typer.Option(
            "--units",
            help="So many units, those that vary most; the picture has them, too.",
            min=1,
            rich_help_panel=_GATES,
        ),
    ] = 10,
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            help="This gate, or cell, hidden or candidate.",
            show_default="forget and cell",
            rich_help_panel=_GATES,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    png: Annotated[str | None, _file("The picture as PNG. Needs the extra `plots`.", "--png")] = None,
    svg: Annotated[str | None, _file("The picture as SVG. Needs the extra `plots`.", "--svg")] = None,
    npz: Annotated[
        str | None, _file("The arrays, for NumPy: ids [N], text, layers.0.forget [N, H] and so on.", "--npz")
    ] = None,
) -> None:
    """Look inside a model: what happens in it while it reads a text, by default the validation part of its own."""
    views = {"gates": gates, "neurons": neurons, "attribution": attribution}
    wanted = [name for name, is_given in views.items() if is_given]
    if len(wanted) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in wanted)} contradict each other", "give one of them")
    view = wanted[0] if wanted else "gates"
    _require_fitting(context, view)
    if run == chosen["file"] == "-":
        raise ConfigError("standard input cannot be both the model and a text", "name a file for one of them")
    options = InspectOptions(**chosen)  # what is out of range is refused before anything is loaded
    importlib.import_module(f"charlstm.cli.{view}").show(run, options, Output(as_json, png, svg, npz, units, gate))


def _require_fitting(context: typer.Context, view: str) -> None:
    """Refuse what was given and is not for this view.

    Raises:
        ConfigError: there is some.
    """
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE" and name not in {view, *_VIEWS[view]}:
            given = "a run" if name == "run" else as_flag(name.removeprefix("as_"), None)
            raise ConfigError(f"{given} and --{view} do not go together")
