"""Results as tables on stdout."""

import itertools
import math
from typing import TYPE_CHECKING

from rich.table import Table

from charlstm.display.console import as_flag, count, percent, result, show
from charlstm.display.visible import visible_in_line
from charlstm.score import Evaluation, Novelty, Score
from charlstm.text.catalogue import NamedCorpus

if TYPE_CHECKING:
    from charlstm.benchmark import Row
    from charlstm.sampling.completion import Completions

_MAX_SPAN = 200  # characters of a copied span that are shown


def show_score(score: Evaluation) -> None:
    """The figures of an evaluation."""
    table = Table.grid(padding=(0, 2))
    error = "" if math.isnan(score.standard_error) else f", standard error {score.standard_error:.4f}"
    table.add_row("loss", f"{score.loss:.4f}", f"nats per character{error}")
    table.add_row("perplexity", f"{score.perplexity:.4f}", "")
    table.add_row("", f"{score.bits_per_character:.4f}", "bits per character")
    table.add_row("", f"{score.bits_per_byte:.4f}", "bits per byte")
    left_out = f", {score.skipped:,} skipped" if score.skipped else ""
    ends = f" and {score.boundaries:,} boundaries" if score.boundaries else ""
    table.add_row(
        "characters", f"{score.characters - score.boundaries:,}", f"{ends} scored of {score.text}{left_out}".strip()
    )
    show(table)
    if score.novelty:
        show()
        show(in_words(score.novelty))


def in_words(novelty: Novelty) -> str:
    """What is new, and the longest span that is not, on a line."""
    new = "" if math.isnan(novelty.new_20_grams) else f", {novelty.new_20_grams:.1%} of the 20-grams are new"
    span = novelty.span if novelty.longest <= _MAX_SPAN else f"{novelty.span[:_MAX_SPAN]}..."
    return f"longest span from the training text: {count(novelty.longest, novelty.unit)}{new}: {span!r}"


def show_files(scores: list[Evaluation]) -> None:
    """Files by how well they are predicted."""
    table, skipped = Table(box=None, pad_edge=False), any(score.skipped for score in scores)
    for heading in ("bits per character", "standard error", "characters", *["skipped"] * skipped):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    for score in scores:
        error = "" if math.isnan(score.standard_error) else f"{score.standard_error / math.log(2):.4f}"
        left_out = [f"{score.skipped:,}"] * skipped
        characters = f"{score.characters - score.boundaries:,}"
        table.add_row(f"{score.bits_per_character:.4f}", error, characters, *left_out, score.text)
    show(table)


def show_comparison(scores: dict[str, Score]) -> None:
    """Several scores of the same text, the best first; those of its beginning alone are named below."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("nats per character", "perplexity", "bits per character"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, score in sorted(scores.items(), key=lambda item: item[1].loss):
        table.add_row(name, f"{score.loss:.4f}", f"{score.perplexity:.3f}", f"{score.bits_per_character:.4f}")
    show()
    show(table)
    longest = max(score.characters for score in scores.values())
    for name, score in scores.items():
        if score.characters < longest:
            result(f"({name}: of the first {score.characters:,} of {longest:,} characters)")


def show_speeds(rows: "list[Row]", devices: int) -> None:
    """What a benchmark measured."""
    table = Table(
        box=None, pad_edge=False, title=f"one layer, {devices} devices, characters per second", title_justify="left"
    )
    for heading in ("units", "precision", "training", "of peak", "sampling"):
        table.add_column(heading, justify="left" if heading == "precision" else "right")
    for row in rows:
        figures = f"{row.training:,.0f}", f"{row.share_of_peak:.0%}", f"{row.sampling:,.0f}"
        table.add_row(str(row.hidden_size), row.precision, *figures)
    show(table)


def show_completions(completions: "Completions", following: list[tuple[str, float]], to: str) -> None:
    """The most probable continuations beside the most probable next characters."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in (f"to the {to}'s end", "", "next character", ""):
        table.add_column(heading, justify="left" if heading else "right", no_wrap=not heading)
    ends = f"(the {to} ends here)" if to == "line" else "(the document ends here)"
    left = [(visible_in_line(each.text) or ends, percent(each.probability)) for each in completions]
    right = [(visible_in_line(character), percent(probability)) for character, probability in following]
    for row in itertools.zip_longest(left, right, fillvalue=("", "")):
        table.add_row(*row[0], *row[1])
    show(table)
    if not completions.exact:
        result(f"(others may be as probable: {as_flag('expansions', None)} says how far to look)")


def show_corpora(corpora: list[NamedCorpus]) -> None:
    """The named corpora."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "bytes", "licence", "downloaded", "what it is"):
        table.add_column(
            heading, justify="right" if heading == "bytes" else "left", no_wrap=heading in ("name", "bytes")
        )
    for corpus in corpora:
        downloaded = "yes" if corpus.downloaded else f"no, {corpus.download_size:,} bytes"
        table.add_row(corpus.name, f"{corpus.bytes():,}", corpus.licence, downloaded, corpus.about)
    show(table)
