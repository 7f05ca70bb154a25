"""`charlstm inspect`."""

from typing import Annotated

import typer

from charlstm.cli.options import NEWEST, RUN_HELP


def inspect(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the card of a run: architecture, vocabulary, settings, history, files."""
    from charlstm.display import card, console
    from charlstm.language_model import card as read_card

    found = read_card(run)
    if as_json:
        console.write_json(found.to_dict())
    else:
        card.show_card(found)
