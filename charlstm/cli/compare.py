"""`charlstm compare`."""

from typing import Annotated, Any

import typer

from charlstm.cli.options import options_of
from charlstm.options import CompareOptions
from charlstm.studies import compare as compare_runs


@options_of(CompareOptions)
def compare(
    chosen: dict[str, Any],
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Runs or weights files; the first one is the measure.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="Draw the learning curves; the ending is the type."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare runs: scores on a common text, learning curves, and the settings that differ."""
    CompareOptions(runs, **chosen)  # what is out of range is refused before anything is loaded
    from charlstm.display import console
    from charlstm.display.bars import Bars
    from charlstm.display.comparison import show_models
    from charlstm.display.plots import AXES, learning_curves, picture_type
    from charlstm.files import user_path

    if output is not None:
        picture_type(user_path(output))
    with Bars() as bars:
        found = compare_runs(runs, **chosen, on_progress=bars)
    if output is not None:
        learning_curves({model.name: model.reports for model in found.models}, user_path(output), AXES)
    if as_json:
        console.write_json(found.to_dict())
    else:
        show_models(found)
