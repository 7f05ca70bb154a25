"""What a prediction rests on: `charlstm inspect --attribution`."""

from charlstm.cli.outcome import Output, bring_out, files_of, named
from charlstm.language_model import load
from charlstm.options import InspectOptions


def show(run: str | None, options: InspectOptions, output: Output) -> None:
    """Which characters predictions of a run rest on."""
    from charlstm.display import attribution, paintings
    from charlstm.display.bars import Bars
    from charlstm.inspection.attribution import save_attributions

    files, model = files_of(output), load(run)
    with Bars() as bars:
        found = model.attribution(**named(options, bars))
    bring_out(
        files, {"attributions": [each.to_dict() for each in found]} if output.as_json else None,
        lambda: paintings.draw_attributions(found), lambda path: save_attributions(found, path),
        lambda: attribution.show_attributions(found),
    )  # fmt: skip
