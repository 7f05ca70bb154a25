"""`charlstm inspect RUN`, without anything else: the card of the run."""

from charlstm.cli.outcome import Output
from charlstm.options import InspectOptions
from charlstm.studies import card


def show(run: str | None, options: InspectOptions, output: Output) -> None:
    """Show what is known of a run without running it."""
    from charlstm.display.card import show_card
    from charlstm.display.console import write_json

    found = card(run)
    if output.as_json:
        write_json(found.to_dict())
    else:
        show_card(found)
