"""How gradients flow back: `charlstm inspect --gradients`."""

from charlstm.cli.outcome import Output, bring_out, files_of, named
from charlstm.language_model import load
from charlstm.options import InspectOptions


def show(run: str | None, options: InspectOptions, output: Output) -> None:
    """How gradients flow back in a run, beside others."""
    from charlstm.display import gradients
    from charlstm.display.bars import Bars

    files, model = files_of(output), load(run)
    with Bars() as bars:
        found = model.gradient_flow(**named(options, bars))
    bring_out(
        files, found.to_dict() if output.as_json else None, lambda: gradients.draw_gradients(found), found.save,
        lambda: gradients.show_gradients(found),
    )  # fmt: skip
