"""`charlstm report`."""

from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.errors import ConfigError
from charlstm.files import is_no_file, user_path
from charlstm.language_model import load
from charlstm.options import ReportOptions


@options_of(ReportOptions)
def report(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="The page, written whole or not at all.")
    ] = "report.html",
) -> None:
    """Write a page about a model: card, learning curves, samples, surprise, gates, gradients, baselines."""
    ReportOptions(**chosen)  # what is out of range is refused before anything is loaded
    if is_no_file(user_path(output)):
        raise ConfigError(f"--output {output} is not a file", "name a file")
    from charlstm.display.bars import Bars
    from charlstm.display.console import result

    model = load(run)
    with Bars() as bars:
        model.report(output, **chosen, on_progress=bars)
    result(output)
