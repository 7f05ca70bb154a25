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
    "attribution": {"run", *_TEXT, "at", "last", "as_json", "png", "svg", "npz"},
    "neurons": {"run", *_TEXT, "layer", "unit", "as_json", "png", "svg", "npz"},
    "gates": {"run", *_TEXT, "layer", "shown", "units", "gate", "as_json", "png", "svg", "npz"},
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
        int, typer.Option("--units", help="So many units, those that vary most.", min=1, rich_help_panel=_GATES)
    ] = 16,
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate", help="This gate, or cell, hidden or candidate.", show_default="what keeps", rich_help_panel=_GATES
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    png: Annotated[str | None, _file("The picture as PNG. Needs the extra `plots`.", "--png")] = None,
    svg: Annotated[str | None, _file("The picture as SVG. Needs the extra `plots`.", "--svg")] = None,
    npz: Annotated[str | None, _file("The arrays, for NumPy: ids, text, layers.0.forget and so on.", "--npz")] = None,
) -> None:
    """Look inside a model while it reads a text: by default at its gates, over a part of what it was validated on."""
    wanted = [
        name for name, is_given in {"gates": gates, "neurons": neurons, "attribution": attribution}.items() if is_given
    ]
    if len(wanted) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in wanted)} contradict each other", "give one of them")
    view = wanted[0] if wanted else "gates"
    _require_fitting(context, view)
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
