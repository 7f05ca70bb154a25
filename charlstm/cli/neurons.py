"""Units with a meaning: `charlstm inspect --neurons`."""

from typing import TYPE_CHECKING, Any

from charlstm.cli.outcome import bring_out, files_of
from charlstm.language_model import load
from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from charlstm.cli.inspect import Output


def show(run: str | None, options: InspectOptions, output: "Output") -> None:
    """Which units of a run follow which features of a text."""
    from charlstm.display import neurons, paintings
    from charlstm.display.bars import Bars

    files, model = files_of(output), load(run)
    chosen: dict[str, Any] = dict(vars(options))
    with Bars() as bars:
        chosen["on_progress"] = bars
        found = model.neurons(**chosen)
    bring_out(
        files, found.to_dict() if output.as_json else None, lambda: paintings.draw_neurons(found), found.save,
        lambda: neurons.show_neurons(found),
    )  # fmt: skip
