"""`charlstm evaluate`."""

from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, TEXT_HELP, options_of
from charlstm.errors import ConfigError
from charlstm.language_model import load
from charlstm.options import EvaluateOptions


@options_of(EvaluateOptions)
def evaluate(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help=TEXT_HELP, show_default="the run's own validation part"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how well a model predicts a text: loss, perplexity, bits per character and per byte."""
    EvaluateOptions(texts or None, **chosen)  # what is out of range is refused before anything is loaded
    if run == "-" and "-" in (texts or []):
        raise ConfigError("standard input cannot be both the model and a text", "name a file for one of them")
    from charlstm.display import console, tables
    from charlstm.display.bars import Bars

    model = load(run)
    with Bars() as bars:
        score = model.evaluate(texts or None, **chosen, on_progress=bars)
    if as_json:
        skipped = {"skipped": score.skipped} if chosen["unknown"] == "skip" else {}
        beside = {name: each.to_dict() for name, each in score.beside.items()}
        boundaries = {"boundaries": score.boundaries} if model.vocabulary.boundary is not None else {}
        console.write_json(score.to_dict() | boundaries | skipped | beside)
    else:
        tables.show_score(score)
        if score.beside:
            tables.show_comparison({"this model": score} | score.beside)
