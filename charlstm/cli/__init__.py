"""The commands: options -> one call of the library -> display. No mathematics; JAX is loaded only by what needs it."""

import io
import sys
from typing import Annotated

import typer

from charlstm import __version__
from charlstm.cli.benchmark import benchmark
from charlstm.cli.corpora import corpora
from charlstm.cli.evaluate import evaluate
from charlstm.cli.plot import plot
from charlstm.cli.sample import sample
from charlstm.cli.train import train
from charlstm.errors import CharLSTMError

app = typer.Typer(
    help="Train a character-level LSTM on any text, sample from it, and measure how well it predicts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PANELS = {"Main commands": (train, sample, evaluate), "More": (plot, benchmark, corpora)}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"charlstm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that stand before the command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error of ours becomes one sentence on stderr and an exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file may be more than the terminal's encoding can say
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(arguments)
    except CharLSTMError as error:
        from charlstm.display.console import show_error

        show_error(error)
        sys.exit(error.exit_status)
