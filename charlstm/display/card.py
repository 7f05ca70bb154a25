"""The card of a run, as tables on stdout."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

from charlstm.config import TrainingConfig
from charlstm.display.console import count, duration, nats, out, result, show
from charlstm.display.sparkline import sparkline
from charlstm.display.visible import visible_in_line
from charlstm.options import format_schedule

if TYPE_CHECKING:
    from charlstm.runs.card import Card
    from charlstm.text.vocabulary import Vocabulary

_MAX_SYMBOLS = 512  # that are shown; --json has them all
_CURVE = 60  # cells


def show_card(card: "Card") -> None:
    """Everything that is known of a run."""
    model = card.config.model
    result(card.name)
    result(
        f"{model.words}, {count(card.parameters, 'parameter')}, "
        f"dropout {model.dropout:g}, weight drop {model.weight_drop:g}"
    )
    show()
    show(_parameters(card))
    show()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, line in _facts(card):
        table.add_row(name, line)
    show(table)


def _parameters(card: "Card") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("tensor")
    for heading in ("shape", "count", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for tensor in card.tensors:
        shape = " x ".join(map(str, tensor.shape))
        table.add_row(tensor.name, shape, f"{tensor.count:,}", f"{tensor.share:.1%}")
    table.add_row("all", "", f"{card.parameters:,}", "100.0%")
    return table


def _facts(card: "Card") -> Iterator[tuple[str, str]]:
    """Names and lines; a name that is empty goes on with the one before."""
    corpus, training = card.config.corpus, card.config.training
    yield "vocabulary", f"{symbols_in_words(card.vocabulary)}:"
    yield "", _symbols(card.vocabulary.symbols)
    cut = "" if corpus.documents == "whole" else f", cut into documents by {corpus.documents!r}"
    yield "corpus", f"{count(corpus.characters, corpus.unit)}{cut}, {training.validation:.0%} of them for validation"
    yield "", f"{', '.join(corpus.sources) or 'its place is not known'} ({corpus.encoding})"
    yield "", f"SHA-256 {corpus.fingerprint}"
    yield "training", ", ".join(f"{name} {value}" for name, value in settings_in_words(card.config.training))
    if card.config.init_from:
        yield "", f"from the weights of {card.config.init_from}"
    yield from _history(card.reports, card.vocabulary.unit)
    if card.best:
        best = card.best
        figures = f"{nats(best.loss)}, perplexity {math.exp(min(best.loss, 700.0)):.3f}"
        yield "best", f"{figures}, at step {best.step:,}"
    if card.config.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in card.config.versions.items())
    for number, (name, size) in enumerate(card.files.items()):
        yield "" if number else "files", f"{name}  {count(size, 'byte')}"
    if not card.has_weights:
        yield "weights", "none yet: they are saved from the first validation on"
    if card.in_the_making:
        yield "", "the run is in the making: it takes its place with its first save"


def settings_in_words(training: TrainingConfig) -> Iterator[tuple[str, str]]:
    """How a model was trained, without what was not asked for."""
    for name, value in vars(training).items():
        if name == "schedule":
            value = format_schedule(value)
        if value not in (None, ""):
            yield name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value}"


def symbols_in_words(vocabulary: "Vocabulary") -> str:
    """`64 characters`, `5,000 characters, 4,000 of them rare, and a boundary between documents`."""
    rare = f", {vocabulary.rare:,} of them, the last ones, rare" if vocabulary.rare else ""
    boundary = "" if vocabulary.boundary is None else ", and the boundary between documents"
    return f"{count(len(vocabulary.symbols), vocabulary.unit)}{rare}{boundary}"


def _symbols(symbols: str) -> str:
    more = f" ... and {len(symbols) - _MAX_SYMBOLS:,} more" if len(symbols) > _MAX_SYMBOLS else ""
    return " ".join(map(visible_in_line, symbols[:_MAX_SYMBOLS])) + more


def _history(reports: list[dict[str, Any]], unit: str) -> Iterator[tuple[str, str]]:
    if not reports:
        yield "history", "no reports yet"
        return
    last = reports[-1]
    yield (
        "history",
        f"{count(last['step'], 'step')}, {last['epoch']:.2f} epochs, {count(last['characters'], unit)} read"
        + ("" if last["elapsed_seconds"] is None else f" in {duration(last['elapsed_seconds'])}"),
    )
    width = max(10, min(_CURVE, out.width - 60))
    for name, title in (("loss", "training"), ("validation_loss", "validation")):
        values = [report[name] for report in reports if report[name] is not None]
        if values:
            yield "", f"{title:10}  {sparkline(values, width)}  {values[0]:.4f} to {values[-1]:.4f} nats"
