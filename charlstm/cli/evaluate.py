"""`charlstm evaluate`: how well a model predicts a text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, TEXT_HELP
from charlstm.config import Unknown
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from charlstm.corpus import Corpus
    from charlstm.runs import Weights


def evaluate(
    run: Annotated[Path | None, typer.Argument(help=RUN_HELP, show_default=NEWEST)] = None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help=TEXT_HELP, show_default="the run's own validation part"),
    ] = None,
    exact: Annotated[bool, typer.Option(help="Read in one stream: slower, and without any approximation.")] = False,
    unknown: Annotated[Unknown, typer.Option(help="What to do with characters the model does not know.")] = "error",
    encoding: Annotated[
        str | None, typer.Option(help="How the characters are encoded.", show_default="the run's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how well a model predicts a text: loss, perplexity, bits per character and per byte."""
    from charlstm.runtime import set_up_jax

    set_up_jax()
    from charlstm import evaluation
    from charlstm.display import bars, console, tables
    from charlstm.runs import load_weights, newest_run

    weights = load_weights(run or newest_run())
    with bars.busy("reading the text ..."):
        corpus, ids, what = _what_to_score(weights, texts, encoding, unknown)
    model, streams = weights.config.model, 1 if exact else None
    with bars.scoring_bar("scoring", len(ids) - 1) as tell:
        score = evaluation.evaluate(model, weights.params, ids, weights.vocabulary, streams, tell)
    if as_json:
        console.write_json(score.to_json() | ({"skipped": corpus.skipped} if unknown == "skip" else {}))
    else:
        tables.show_score(score, what, corpus.skipped)


def _what_to_score(
    weights: "Weights", texts: list[str] | None, encoding: str | None, unknown: Unknown
) -> "tuple[Corpus, np.ndarray, str]":
    """The corpus, its part to score, and what to call that part."""
    from charlstm.corpus import locate, open_corpus, reopen

    settings = weights.config.corpus
    if texts:
        corpus = open_corpus(locate(texts), settings.unit, encoding or settings.encoding, weights.vocabulary, unknown)
        return corpus, corpus.ids, ", ".join(texts)
    corpus = reopen(settings, weights.vocabulary)
    held_out = corpus.split(weights.config.training.validation)[1]
    if not len(held_out):
        raise ConfigError(f"{weights.path.parent} has no validation part", "name a text to evaluate")
    return corpus, held_out, "the validation part"
