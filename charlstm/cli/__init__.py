"""The commands: options -> one call of the library -> display. No mathematics; JAX is loaded only by what needs it."""

import sys
from typing import Annotated, NoReturn

import typer

from charlstm import __version__
from charlstm.cli.benchmark import benchmark
from charlstm.cli.compare import compare
from charlstm.cli.complete import complete
from charlstm.cli.compress import compress, decompress
from charlstm.cli.corpora import corpora
from charlstm.cli.evaluate import evaluate
from charlstm.cli.export import export
from charlstm.cli.inspect import inspect
from charlstm.cli.plot import plot
from charlstm.cli.report import report
from charlstm.cli.sample import sample
from charlstm.cli.signals import ending_cleanly
from charlstm.cli.train import train
from charlstm.display.streams import standard_streams
from charlstm.errors import CharLSTMError

app = typer.Typer(
    help="Train a character-level LSTM on any text, sample from it, and measure how well it predicts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PANELS = {
    "Main commands": (train, sample, complete, evaluate, inspect),
    "More": (compare, report, plot, compress, decompress, export, benchmark, corpora),
}
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
    """Run the command line; every error of ours becomes one sentence on stderr and an exit status.

    What is no error of ours, and no interrupt, is a bug: its traceback is shown, and the exit status is 70.
    """
    with standard_streams(), ending_cleanly():
        try:
            try:
                app(arguments)
            finally:
                sys.stdout.flush()  # here, for it may be full
        except CharLSTMError as error:
            _end(error, error.exit_status)
        except BrokenPipeError:  # as Typer ends where a reader has gone
            sys.exit(1)
        except MemoryError:
            _end(CharLSTMError("the memory of this machine is not enough", "close other programs, or ask for less"), 1)
        except Exception:
            _report_bug()
            sys.exit(70)


def _end(error: CharLSTMError, status: int) -> NoReturn:
    from charlstm.display.console import show_error

    show_error(error)
    sys.exit(status)


def _report_bug() -> None:
    """The traceback, and what whoever shall mend it needs to know."""
    import platform
    import traceback
    from importlib.metadata import version

    from charlstm.display.console import note

    note(traceback.format_exc(), wrap=False)
    note(
        f"This is a bug of charlstm {__version__} (Python {platform.python_version()}, JAX {version('jax')}, "
        f"{platform.platform()}). What was saved is whole. Please report it with the lines above, where you got "
        "charlstm from."
    )
