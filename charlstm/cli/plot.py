"""`charlstm plot`."""

from pathlib import Path
from typing import Annotated

import typer

from charlstm.cli.options import NEWEST


def plot(
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs to compare.", show_default=NEWEST)] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture; its ending is its type.")] = Path(
        "learning.png"
    ),
) -> None:
    """Plot the learning curves of runs. Needs the extra `plots`."""
    from charlstm.display.console import result
    from charlstm.display.plots import learning_curves
    from charlstm.errors import RunError
    from charlstm.runs.folder import newest_run, open_run

    reports = {str(path): open_run(path).metrics.read() for path in runs or [newest_run()]}
    for name, lines in reports.items():
        if not lines:
            raise RunError(f"{name} has no reports yet", "train it first")
    learning_curves(reports, output)
    result(str(output))
