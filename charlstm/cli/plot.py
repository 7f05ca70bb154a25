"""`charlstm plot`."""

from typing import Annotated, Literal

import typer

from charlstm.cli.options import NEWEST

Over = Literal["characters", "time"]


def plot(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Runs to compare.", show_default=NEWEST)
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="The picture; its ending is its type.")
    ] = "learning.png",
    over: Annotated[Over, typer.Option(help="What the curves are drawn over.")] = "characters",
) -> None:
    """Plot the learning curves of runs. Needs the extra `plots`."""
    from charlstm.display.console import result
    from charlstm.display.plots import learning_curves
    from charlstm.errors import RunError
    from charlstm.files import user_path
    from charlstm.runs.finding import newest_run
    from charlstm.runs.folder import open_run

    paths = [user_path(run) for run in runs or []] or [newest_run()]
    reports = {str(path): open_run(path).metrics.read() for path in paths}
    for name, lines in reports.items():
        if not lines:
            raise RunError(f"{name} has no reports yet", "train it first")
    learning_curves(reports, user_path(output), [over])
    result(output)
