"""What a prediction rests on: `charlstm inspect --attribution`."""

from typing import TYPE_CHECKING, Any

from charlstm.cli.outcome import bring_out, files_of
from charlstm.language_model import load
from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from charlstm.cli.inspect import Output


def show(run: str | None, options: InspectOptions, output: "Output") -> None:
    """Which characters predictions of a run rest on."""
    from charlstm.display import attribution, paintings
    from charlstm.display.bars import Bars
    from charlstm.inspection.attribution import save_attributions

    files, model = files_of(output), load(run)
    chosen: dict[str, Any] = dict(vars(options))
    with Bars() as bars:
        chosen["on_progress"] = bars
        found = model.attribution(**chosen)
    bring_out(
        files, {"attributions": [each.to_dict() for each in found]} if output.as_json else None,
        lambda: paintings.draw_attributions(found), lambda path: save_attributions(found, path),
        lambda: attribution.show_attributions(found),
    )  # fmt: skip
