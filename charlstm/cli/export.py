"""`charlstm export`."""

from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.language_model import load
from charlstm.options import ExportOptions


@options_of(ExportOptions, last=True)
def export(
    chosen: dict[str, Any],
    onnx: Annotated[str, typer.Option(metavar="PATH", help="The ONNX file, written whole or not at all.")],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
) -> None:
    """Write a model for other programs, as in a browser: one step as an ONNX model. Needs the extra `onnx`.

    It reads ids and states, and gives the probabilities of the next characters and the new states. What a program must
    know, such as the vocabulary, is in its metadata, and in a JSON file beside it.
    """
    from charlstm.display.console import note, result
    from charlstm.export.saving import places

    found = places(ExportOptions(onnx, **chosen))  # what cannot be is refused before anything is loaded
    model = load(run)
    model.export_onnx(onnx, **chosen)
    for path in found:
        result(str(path))
    if model.weights.counts is not None:
        note("this is the network alone, as `--network-alone` has it: the counts beside it are left out")
