"""Models beside each other, on stdout: scores, learning curves on one scale, and what differs in their settings."""

import math
from typing import TYPE_CHECKING, Any

from rich.table import Table

from charlstm.display.console import count, duration, out, result, show
from charlstm.display.sparkline import sparkline, usual_range

if TYPE_CHECKING:
    from charlstm.evaluation.comparison import Compared, Comparison

_CURVE = 60  # cells
_AXES = {"characters": "characters read", "elapsed_seconds": "time"}


def show_models(comparison: "Comparison") -> None:
    """Scores, curves and settings of all models."""
    show(_scores(comparison.models))
    result(
        f"on the same {count(comparison.characters, 'character')} of {comparison.text}; standard errors over "
        f"{count(comparison.blocks, 'block')} of {comparison.block_characters} characters, of differences paired"
    )
    for axis, name in _AXES.items():
        _show_curves(comparison.models, axis, name)
    show()
    if comparison.settings:
        show(_settings(comparison))
    else:
        result("no setting differs")


def _scores(models: "list[Compared]") -> Table:
    table = Table(box=None, pad_edge=False)
    headings = ("nats per character", "standard error", "bits per character", "bits per byte", "more than the first")
    for heading in headings:
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("standard error", justify="right", overflow="fold")
    table.add_column("run", overflow="fold")
    for model in models:
        score, more = model.score, model.difference
        table.add_row(
            f"{score.loss:.4f}", _error(score.standard_error), f"{score.bits_per_character:.4f}",
            f"{score.bits_per_byte:.4f}", f"{more.loss:+.4f}" if more else "", _error(more.standard_error) if more else
            "", model.name,
        )  # fmt: skip
    return table


def _error(error: float) -> str:
    return "" if math.isnan(error) else f"{error:.4f}"


def _show_curves(models: "list[Compared]", axis: str, name: str) -> None:
    """Curves whose place and height mean the same in each: losses of training, without their first fall."""
    curves = {k: _points(model.reports, axis) for k, model in enumerate(models)}
    curves = {k: points for k, points in curves.items() if points}
    if not curves:
        return
    end = max(points[-1][0] for points in curves.values())
    width = max(10, min(_CURVE, out.width - 50))
    ranges = [usual_range([loss for _, loss in points]) for points in curves.values()]
    scale = min(low for low, _ in ranges), max(high for _, high in ranges)
    show()
    upto = duration(end) if axis == "elapsed_seconds" else f"{end:,}"
    result(f"training loss in nats over {name}, up to {upto}, from {scale[0]:.2f} to {scale[1]:.2f}; the last one")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, width=width)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for k, points in curves.items():
        table.add_row(sparkline(_resampled(points, end, width), width, scale), f"{points[-1][1]:.4f}", models[k].name)
    show(table)


def _points(reports: list[dict[str, Any]], axis: str) -> list[tuple[float, float]]:
    return [(each[axis], each["loss"]) for each in reports if each["loss"] is not None and each[axis] is not None]


def _resampled(points: list[tuple[float, float]], end: float, width: int) -> list[float]:
    """The loss at the end of each of `width` equal parts of the axis, up to where the curve ends."""
    values, place = list[float](), 0
    for cell in range(max(1, round(points[-1][0] / end * width)) if end else 1):
        while place + 1 < len(points) and points[place + 1][0] <= (cell + 1) * end / width:
            place += 1
        values.append(points[place][1])
    return values


def _settings(comparison: "Comparison") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("settings that differ", no_wrap=True)
    for model in comparison.models:
        table.add_column(model.name, overflow="fold", justify="right")
    for name, values in comparison.settings.items():
        table.add_row(name, *map(_value, values))
    return table


def _value(value: Any) -> str:
    """A setting in a cell; a fingerprint is told by its beginning."""
    match value:
        case None:
            return "none"
        case list():  # of texts, or the lengths of a schedule
            return ", ".join(":".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)
        case str() if len(value) == 64:
            return f"{value[:8]}..."
        case int() if not isinstance(value, bool):
            return f"{value:,}"
    return str(value)
