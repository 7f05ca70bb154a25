"""What the options of several commands have in common."""

from typing import Any

import typer

RUN_HELP = "A run, or a weights file."
NEWEST = "the newest run in runs/"
TEXT_HELP = "Files, folders, named corpora (see `charlstm corpora`) or - for standard input; together one corpus."
FITTED = "fitted to text, time and machine"


def panel(name: str):
    """A function that makes an option of the help panel `name`; `default` says in words what None stands for."""

    def option(help_text: str, *flags: str, default: str | None = None) -> Any:
        return typer.Option(*flags, help=help_text, rich_help_panel=name, show_default=default or True)

    return option
