"""`charlstm inspect`."""

import importlib
from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.cli.outcome import Output
from charlstm.display.console import as_flag
from charlstm.errors import ConfigError
from charlstm.options import InspectOptions, MemoryOptions
from charlstm.schema import options_in

_SHOWN = "What is shown (one of them)"
_GATES = "The heat map of gates"
_FILES = "Files"

# What each view goes with. A view is a file of this room that has `show(run, options, output)`.
_TEXT = {"run", "text", "file", "own_text", "unknown", "encoding"}
_PICTURE = {"as_json", "png", "svg"}
_VIEWS = {
    "card": {"run", "as_json"},
    "gates": {*_TEXT, "layer", "shown", "units", "gate", *_PICTURE, "npz"},
    "neurons": {*_TEXT, "layer", "unit", *_PICTURE, "npz"},
    "attribution": {*_TEXT, "at", "last", *_PICTURE, "npz"},
    "gradients": {*_TEXT, "layer", "lags", "beside", *_PICTURE, "npz"},
    "memory": {"minutes", "seed", *_PICTURE},
}
_LISTED = ", ".join(f"--{view}" for view in _VIEWS if view != "card")


def _flag(text: str, flag: str) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=_SHOWN)


def _file(text: str, flag: str) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=_FILES, metavar="PATH")


@options_of(InspectOptions, MemoryOptions, last=True)
def inspect(
    chosen: dict[str, Any],
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    gates: Annotated[
        bool, _flag("What the gates do, and how long a memory lasts; the default where a text is given.", "--gates")
    ] = False,
    neurons: Annotated[
        bool,
        _flag("Which units follow which features of a text, beyond luck, and the best painted over it.", "--neurons"),
    ] = False,
    attribution: Annotated[bool, _flag("Which earlier characters a prediction rests on.", "--attribution")] = False,
    gradients: Annotated[
        bool, _flag("How gradients flow back: their norms by lag, beside other cells.", "--gradients")
    ] = False,
    memory: Annotated[
        bool, _flag("How far each cell remembers: small networks are trained on the spot. No run.", "--memory")
    ] = False,
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
        str | None, _file("The arrays, for NumPy; of gates ids [N], text, layers.0.forget [N, H] and so on.", "--npz")
    ] = None,
) -> None:
    """Look inside: the card of a run or, while it reads a text, its gates, neurons and gradients."""
    flags = {"gates": gates, "neurons": neurons, "attribution": attribution, "gradients": gradients, "memory": memory}
    wanted = [name for name, is_given in flags.items() if is_given]
    if len(wanted) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in wanted)} contradict each other", "give one of them")
    has_text = chosen["text"] is not None or chosen["file"] is not None
    view = wanted[0] if wanted else "gates" if has_text else "card"
    _require_fitting(context, view)
    if run == chosen["file"] == "-":
        raise ConfigError("standard input cannot be both the model and a text", "name a file for one of them")
    # What is out of range is refused before anything is loaded.
    kind = MemoryOptions if view == "memory" else InspectOptions
    options = kind(**{name: chosen[name] for name in options_in(kind)})
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
            if view == "card":
                raise ConfigError(f"{given} is not for the card of a run", f"say what is to be shown: {_LISTED}")
            raise ConfigError(f"{given} and --{view} do not go together")
