"""Units with a meaning: `charlstm inspect --neurons`."""

from charlstm.cli.outcome import Output, bring_out, files_of, named
from charlstm.language_model import load
from charlstm.options import InspectOptions


def show(run: str | None, options: InspectOptions, output: Output) -> None:
    """Which units of a run follow which features of a text."""
    from charlstm.display import neurons, paintings
    from charlstm.display.bars import Bars

    files, model = files_of(output), load(run)
    with Bars() as bars:
        found = model.neurons(**named(options, bars))
    bring_out(
        files, found.to_dict() if output.as_json else None, lambda: paintings.draw_neurons(found), found.save,
        lambda: neurons.show_neurons(found),
    )  # fmt: skip
