"""`charlstm inspect RUN`, without anything else: the card of the run."""

from typing import TYPE_CHECKING

from charlstm.errors import ConfigError, setting
from charlstm.language_model import card
from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from charlstm.cli.inspect import Output


def show(run: str | None, options: InspectOptions, output: "Output") -> None:
    """Show what is known of a run without running it."""
    from charlstm.display import console
    from charlstm.display.card import show_card

    given = {"png": output.png, "svg": output.svg, "npz": output.npz} | vars(options)
    for name, value in given.items():
        if value not in (None, "error"):
            raise ConfigError(f"{setting(name, value)} is not for the card of a run", "say what else is to be shown")
    found = card(run)
    if output.as_json:
        console.write_json(found.to_dict())
    else:
        show_card(found)
