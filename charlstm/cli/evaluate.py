"""`charlstm evaluate`."""

import dataclasses
from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, TEXT_HELP, options_of
from charlstm.errors import ConfigError, VocabularyError
from charlstm.language_model import LanguageModel, load
from charlstm.options import EvaluateOptions, ReadOptions

_SHOWN = "What is shown"
_ROW = {  # what --csv has
    "--per-character": ("offset", "text", "nats", "bits"),
    "--per-line": ("number", "text", "nats", "bits", "characters", "bits_per_character"),
    "--per-file": ("file", "loss", "bits_per_character", "standard_error", "characters", "skipped"),
}


def _flag(text: str, flag: str) -> Any:
    return typer.Option(flag, help=text, rich_help_panel=_SHOWN)


@options_of(EvaluateOptions)
def evaluate(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help=TEXT_HELP, show_default="the run's own validation part"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    heatmap: Annotated[bool, _flag("The text, each character tinted by its surprise.", "--heatmap")] = False,
    per_character: Annotated[bool, _flag("The surprise of each character, as JSON lines.", "--per-character")] = False,
    per_line: Annotated[bool, _flag("The surprise of each line, as JSON lines.", "--per-line")] = False,
    per_file: Annotated[bool, _flag("A score for each file, the best predicted first.", "--per-file")] = False,
    as_csv: Annotated[
        bool, _flag("With --per-character, --per-line or --per-file: CSV, with a line of names.", "--csv")
    ] = False,
) -> None:
    """Measure how well a model predicts a text: loss, perplexity, bits per character and per byte."""
    options = EvaluateOptions(texts or None, **chosen)  # what is out of range is refused before anything is loaded
    wanted = {"--heatmap": heatmap, "--per-character": per_character, "--per-line": per_line, "--per-file": per_file}
    shown = _only_one([flag for flag, is_given in wanted.items() if is_given], options, as_json, as_csv)
    if run == "-" and "-" in (texts or []):
        raise ConfigError("standard input cannot be both the model and a text", "name a file for one of them")
    if per_file and not texts:
        raise ConfigError("--per-file is for files, and none is named", "name files or folders after the run")
    from charlstm.display import console, tables
    from charlstm.display.bars import Bars

    if heatmap:
        _require_colours()
    model = load(run)
    if per_file:
        _show_files(model, options, as_json, as_csv)
        return
    if shown:
        _show_text(model, options, shown, as_csv)
        return
    with Bars() as bars:
        score = model.evaluate(texts or None, **chosen, on_progress=bars)
    if as_json:
        skipped = {"skipped": score.skipped} if chosen["unknown"] == "skip" else {}
        beside = {name: each.to_dict() for name, each in score.beside.items()}
        boundaries = {"boundaries": score.boundaries} if model.vocabulary.boundary is not None else {}
        new = {"novelty": score.novelty.to_dict()} if score.novelty else {}
        console.write_json(score.to_dict() | boundaries | skipped | beside | new)
    else:
        tables.show_score(score)
        if score.beside:
            tables.show_comparison({"this model": score} | score.beside)


def _only_one(shown: list[str], options: EvaluateOptions, as_json: bool, as_csv: bool) -> str | None:
    """Which of the ways to show a text is asked for, if any; what else is asked for must fit to it."""
    if as_csv and not set(shown) & set(_ROW):
        raise ConfigError(f"--csv is for {', '.join(_ROW)}, none of which is given")
    for given in ["--json"] * as_json + ["--csv"] * as_csv, [*shown, *["--json"] * (as_json and "--heatmap" in shown)]:
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} contradict each other", "give one of them")
    if not shown:
        return None
    options.require_plain(shown[0])
    return shown[0]


def _require_colours() -> None:
    from charlstm.display.console import out
    from charlstm.display.heatmap import can_tint

    if not can_tint(out):
        raise ConfigError(
            "--heatmap needs a terminal with colours, which standard output is not",
            "FORCE_COLOR=1 has them written all the same, for example for `less -R`; --per-character is for programs",
        )


def _show_text(model: LanguageModel, options: EvaluateOptions, shown: str, as_csv: bool) -> None:
    """A text with its surprise, as it is read."""
    from charlstm.display.bars import Bars
    from charlstm.display.console import out
    from charlstm.display.heatmap import HeatMap
    from charlstm.display.rows import write_rows

    read: dict[str, Any] = {field.name: getattr(options, field.name) for field in dataclasses.fields(ReadOptions)}
    with Bars() as bars:
        read["on_progress"] = bars
        text = model.per_line(**read) if shown == "--per-line" else model.per_character(**read)
    if shown == "--heatmap":
        HeatMap(out).show(text)
    else:
        names = _ROW[shown]
        write_rows(({name: getattr(each, name) for name in names} for each in text), names, as_csv)


def _show_files(model: LanguageModel, options: EvaluateOptions, as_json: bool, as_csv: bool) -> None:
    """A score for each file; then, on stderr, those that have none, and an exit status that tells of them."""
    from charlstm.display import console, tables
    from charlstm.display.bars import Bars
    from charlstm.display.rows import write_rows

    named: dict[str, Any] = dict(vars(options))
    with Bars() as bars:
        named["on_progress"] = bars
        found = model.evaluate_files(**named)
    rows = [{"file": score.text} | score.to_dict() | {"skipped": score.skipped} for score in found.scores]
    if as_json:
        refused = [{"file": name, "error": str(error)} for name, error in found.refused.items()]
        console.write_json({"files": rows, "refused": refused})
    elif as_csv:
        names = _ROW["--per-file"]
        write_rows(({name: row[name] for name in names} for row in rows), names, as_csv)
    elif rows:
        tables.show_files(found.scores)
    hints = set[str]()
    for name, error in found.refused.items():
        label = f"not scored: {name}:" if isinstance(error, VocabularyError) else "not scored:"  # others name it
        console.show_error(error, label, hint=error.raw_hint not in hints)
        hints.add(error.raw_hint)
    if found.refused:
        raise typer.Exit(1)
