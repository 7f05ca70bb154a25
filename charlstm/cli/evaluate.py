"""`charlstm evaluate`: how well a model predicts a text, and what that is worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, TEXT_HELP, panel
from charlstm.config import Unknown
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from charlstm.text.corpus import Corpus
    from charlstm.runs.folder import Weights
    from charlstm.score import Score

_text, _beside = panel("Text"), panel("Beside the score")


def evaluate(
    run: Annotated[Path | None, typer.Argument(help=RUN_HELP, show_default=NEWEST)] = None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help=TEXT_HELP, show_default="the run's own validation part"),
    ] = None,
    exact: Annotated[bool, typer.Option(help="Read in one stream: slower, and without any approximation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    unknown: Annotated[Unknown, _text("What to do with characters that the model does not know.")] = "error",
    encoding: Annotated[str | None, _text("How the characters are encoded.", default="the run's")] = None,
    dynamic: Annotated[bool, _beside("Read again with weights that go on learning from what was scored.")] = False,
    baseline: Annotated[bool, _beside("Score without a network: n-grams, xz and guessing.")] = False,
    windows: Annotated[
        int | None, _beside("Score windows of this many characters, each from an empty memory.", default="not done")
    ] = None,
) -> None:
    """Measure how well a model predicts a text: loss, perplexity, bits per character and per byte."""
    if windows is not None and not 1 <= windows <= 65_536:
        raise ConfigError(f"--windows is {windows}, but must be from 1 to 65536")
    if encoding and not texts:
        raise ConfigError(f"--encoding {encoding} is for texts, but none is named", "the run's own is read as it was")
    from charlstm.runtime.setup import set_up_jax

    set_up_jax()
    from charlstm.evaluation import static
    from charlstm.display import bars, console, tables
    from charlstm.runs.folder import load_weights, newest_run

    weights = load_weights(run or newest_run())
    with bars.busy("reading the text ..."):
        corpus, ids, what = _what_to_score(weights, texts, encoding, unknown)
        training_ids = _training_part(weights) if dynamic or baseline else ids[:0]
    what_is_read = weights.config.model, weights.params, ids, weights.vocabulary
    with bars.scoring_bar("scoring", len(ids) - 1) as tell:
        score = static.evaluate(*what_is_read, streams=1 if exact else None, tell=tell)
    beside: dict[str, Score] = {}
    if windows:
        with bars.scoring_bar(f"in windows of {windows}", len(ids) - 1) as tell:
            beside[f"windows of {windows}"] = static.evaluate_windows(*what_is_read, windows, tell)
    if dynamic:
        beside["dynamic"] = _read_and_learn(weights, training_ids, ids)
    if baseline:
        from charlstm.evaluation.baseline import baselines

        with bars.busy("counting n-grams ..."):
            beside |= baselines(training_ids, ids, weights.vocabulary)
    if as_json:
        skipped = {"skipped": corpus.skipped} if unknown == "skip" else {}
        console.write_json(score.to_json() | skipped | {name: each.to_json() for name, each in beside.items()})
    else:
        tables.show_score(score, what, corpus.skipped)
        if beside:
            tables.show_comparison({"this model": score} | beside)


def _what_to_score(
    weights: "Weights", texts: list[str] | None, encoding: str | None, unknown: Unknown
) -> "tuple[Corpus, np.ndarray, str]":
    """The corpus, its part to score, and what to call that part."""
    from charlstm.text.corpus import locate, open_corpus, reopen

    settings = weights.config.corpus
    if texts:
        corpus = open_corpus(
            locate(texts, settings.unit), settings.unit, encoding or settings.encoding, weights.vocabulary, unknown
        )
        return corpus, corpus.ids, ", ".join(texts)
    corpus = reopen(settings, weights.vocabulary)
    held_out = corpus.split(weights.config.training.validation)[1]
    if not len(held_out):
        raise ConfigError(f"{weights.path.parent} has no validation part", "name a text to evaluate")
    return corpus, held_out, "the validation part"


def _training_part(weights: "Weights") -> "np.ndarray":
    from charlstm.text.corpus import reopen

    return reopen(weights.config.corpus, weights.vocabulary).split(weights.config.training.validation)[0]


def _read_and_learn(weights: "Weights", training_ids: "np.ndarray", ids: "np.ndarray") -> "Score":
    """Dynamic evaluation, by the rule that suits the end of the training part."""
    from charlstm.display import bars
    from charlstm.evaluation.dynamic import Adapter

    with bars.busy("tuning dynamic evaluation on the training part ..."):
        adapter = Adapter.measured(weights.config.model, weights.params, training_ids)
        rule = adapter.tune(training_ids, weights.vocabulary)
    with bars.scoring_bar("learning while scoring", len(ids) - 1) as tell:
        return adapter.evaluate(ids, weights.vocabulary, rule, tell)
