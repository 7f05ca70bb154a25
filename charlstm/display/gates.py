"""Gates on a terminal: a heat map below the text, how often they are closed and open, how long a memory lasts.

Where there are no colours the cells of the map are shades, or signs of what is above and below 0.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text
from wcwidth import iter_graphemes, wcswidth

from charlstm.display.console import count, on_terminal, out, result, show
from charlstm.display.visible import visible_in_line

if TYPE_CHECKING:
    from charlstm.inspection.gates import Gates, LayerGates


class Shade(NamedTuple):
    """How a value of `least` or more is shown: in many colours, in 16, or as a mark."""

    least: float
    tint: Style
    basic: Style
    mark: str


def _shade(least: float, tint: str, basic: str, mark: str) -> Shade:
    light = sum(int(tint[place : place + 2], 16) for place in (1, 3, 5)) > 330
    return Shade(least, Style.parse(f"{'black' if light else '#ffffff'} on {tint}"), Style.parse(basic), mark)


# From 0 to 1, ever lighter; of the 256 colours that terminals agree on.
GATE = (
    _shade(0.0, "#5f005f", "white on black", " "),
    _shade(0.1, "#5f0087", "white on blue", "░"),
    _shade(0.2, "#5f00af", "white on blue", "░"),
    _shade(0.3, "#005faf", "black on cyan", "▒"),
    _shade(0.4, "#0087af", "black on cyan", "▒"),
    _shade(0.5, "#00af87", "black on cyan", "▒"),
    _shade(0.6, "#5fd75f", "black on cyan", "▒"),
    _shade(0.7, "#87d700", "black on green", "▓"),
    _shade(0.8, "#d7d700", "black on green", "▓"),
    _shade(0.9, "#ffff5f", "black on yellow", "█"),
)
# From -1 to 1: dark where there is nothing.
SIGNED = (
    _shade(-1.0, "#87d7ff", "black on cyan", "="),
    _shade(-0.75, "#00afff", "black on cyan", "="),
    _shade(-0.5, "#0087d7", "white on blue", "-"),
    _shade(-0.25, "#005f87", "white on blue", "-"),
    _shade(-0.1, "#262626", "white on black", " "),
    _shade(0.1, "#875f00", "white on red", "+"),
    _shade(0.25, "#d75f00", "white on red", "+"),
    _shade(0.5, "#ff8700", "black on yellow", "#"),
    _shade(0.75, "#ffd75f", "black on yellow", "#"),
)
_BAR = 40  # cells
_MIN_BARS = 6
_NAMED = 5  # units that keep longest


def show_gates(gates: "Gates", names: Sequence[str], units: int) -> None:
    """All of it, layer by layer; heat maps of `names`, of the `units` of which the last of these varies most."""
    for number, layer in gates.layers.items():
        order = layer.varying(names[-1], units)
        for name in names:
            shown, all_units = layer.arrays[name].shape
            of_units = count(all_units, "unit")
            if units < all_units:
                of_units = f"the {units} of {all_units} units whose {full_name(names[-1])} varies most"
            title = f"{full_name(name)} of layer {number}, {of_units}; {shown_of(gates, shown)}"
            show_map(out, layer, gates.symbols, name, order, title)
    if gates.keeps is None:
        result("(a plain RNN has no gates: there is nothing to be closed or open)")
        return
    show_shares(gates)
    for number, layer in gates.layers.items():
        show_constants(gates, number, layer)


def full_name(name: str) -> str:
    """`forget gate`, `cell state`."""
    return name if name == "candidate" else f"{name} {'state' if name in ('cell', 'hidden') else 'gate'}"


def shown_of(gates: "Gates", shown: int) -> str:
    """Which characters are shown."""
    return gates.where if shown == gates.characters else f"the first {shown:,} of {gates.where}"


def show_map(
    console: Console, layer: "LayerGates", symbols: Sequence[str], name: str, units: Sequence[int], title: str
) -> None:
    """A heat map: characters from left to right, in bands as wide as the terminal, and units below each other."""
    values = layer.arrays[name][:, units]
    largest = 1.0 if name in layer.closed else float(np.abs(values).max()) or 1.0
    shades = GATE if name in layer.closed else SIGNED
    levels = np.searchsorted([shade.least for shade in shades[1:]], values / largest, side="right")
    console.print(title, soft_wrap=not on_terminal(console))
    console.print(_legend(console, shades, largest), soft_wrap=not on_terminal(console))
    columns = columns_of(symbols)
    label = max(len("unit"), len(str(max(units)))) + 1
    for start, end in _bands([cells for _, cells in columns], console.width - label):
        rows = ["".join(text for text, _ in columns[start:end])]
        console.print(f"{'unit':>{label - 1}} {rows[0]}", soft_wrap=True)
        for place, unit in enumerate(units):
            row = [Segment(f"{unit:>{label - 1}} ")]
            cells = zip(levels[start:end, place].tolist(), (cells for _, cells in columns[start:end]), strict=True)
            for level, run in groupby(cells, key=lambda each: each[0]):
                row.append(_cells(console, shades[level], sum(width for _, width in run)))
            console.print(Segments([*row, Segment("\n")]), end="", soft_wrap=True)
        console.print(soft_wrap=True)


def _style(console: Console, shade: Shade) -> Style | None:
    """None where there are no colours."""
    if console.color_system is None or console.no_color:
        return None
    return shade.tint if console.color_system in ("truecolor", "256") else shade.basic


def _cells(console: Console, shade: Shade, width: int) -> Segment:
    style = _style(console, shade)
    return Segment(shade.mark * width) if style is None else Segment(" " * width, style)


def _legend(console: Console, shades: Sequence[Shade], largest: float) -> Text:
    """What the shades mean, each by the least value that it stands for."""
    text = Text("from  " if largest == 1 else "from ")
    for shade in shades:
        value = f"{shade.least * largest:.2g}"
        style = _style(console, shade)
        text.append(f"{shade.mark} {value}  " if style is None else f" {value} ", style or "")
    return text


def columns_of(symbols: Sequence[str]) -> list[tuple[str, int]]:
    """Each symbol as it is shown, and how many cells wide that is.

    Of several that are seen as one, such as a letter and its accent or the bytes of a letter, the first stands for all,
    and the others are dots.
    """
    symbols = ["\n" if len(symbol) > 1 else symbol for symbol in symbols]  # what stands between documents
    clusters = iter_graphemes("".join(symbols))
    points = (cluster if k == 0 else "" for cluster in clusters for k in range(len(cluster)))
    columns: list[tuple[str, int]] = []
    for symbol in symbols:
        shown = visible_in_line(next(points), mark_edges=False) if symbol else ""
        cells = wcswidth(shown)
        columns.append((shown, cells) if cells > 0 else ("·", 1))
    return columns


def _bands(widths: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """Where lines begin and end that are no wider than `room`, of at least one symbol each."""
    start, used = 0, 0
    for place, width in enumerate(widths):
        if used + width > room and place > start:
            yield start, place
            start, used = place, 0
        used += width
    yield start, len(widths)


def show_shares(gates: "Gates") -> None:
    """How often gates are nearly closed and nearly open."""
    table = Table(box=None, pad_edge=False)
    for heading in ("layer", "gate", "closed", "", "open"):
        table.add_column(heading, justify="right" if heading in ("layer", "closed", "open") else "left", no_wrap=True)
    for number, layer in gates.layers.items():
        for gate in layer.closed:
            closed, is_open = float(layer.closed[gate].mean()), float(layer.open[gate].mean())
            table.add_row(str(number), gate, f"{closed:.1%}", _share_bar(out, closed, is_open), f"{is_open:.1%}")
    result(f"gates nearly closed (below 0.1) and nearly open (above 0.9), of {gates.where} and all units")
    show(table)
    show()


def _share_bar(console: Console, closed: float, is_open: float) -> Text:
    """A line that is closed at its left, open at its right, and neither between them."""
    left, right = round(_BAR * closed), round(_BAR * is_open)
    bar = Text()
    for shade, width in ((GATE[1], left), (GATE[5], max(0, _BAR - left - right)), (GATE[9], right)):
        cells = _cells(console, shade, width)
        bar.append(cells.text, cells.style or "")
    return bar


def show_constants(gates: "Gates", number: int, layer: "LayerGates") -> None:
    """How long the units of a layer keep what they have, as a histogram on a log scale."""
    constants = layer.time_constants
    assert constants is not None
    result(f"how long a memory of layer {number} lasts: -1 / ln(mean {gates.keeps} gate), of {gates.where}")
    edges, counts = histogram(constants)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{gates.unit}s", justify="right", no_wrap=True)
    table.add_column("units", justify="right", no_wrap=True)
    table.add_column("")
    for low, high, number_of in zip(edges, edges[1:], counts, strict=False):
        words = f"below {high:g}" if not low else f"{low:,g} or more" if math.isinf(high) else f"{low:,g} to {high:,g}"
        table.add_row(words, f"{number_of:,}", "█" * math.ceil(_BAR * number_of / max(counts)))
    show(table)
    order = np.argsort(-constants, kind="stable")[:_NAMED].tolist()
    longest = ", ".join(f"{unit} ({in_words(float(constants[unit]))})" for unit in order)
    result(f"median {in_words(float(np.median(constants)))} {gates.unit}s; longest: unit {longest}")
    show()


def in_words(constant: float) -> str:
    """A time constant in three digits."""
    return "for ever" if math.isinf(constant) else f"{constant:,.3g}" if constant < 1000 else f"{constant:,.0f}"


def histogram(constants: np.ndarray) -> tuple[list[float], list[int]]:
    """Edges 1, 2, 5, 10, ... or finer that enclose all `constants`, and how many there are between each two of them."""
    for ladder in ("1", "2", "5"), ("1", "1.5", "2", "3", "5", "7"):
        steps = [float(f"{step}e{power}") for power in range(-2, 6) for step in ladder]
        bins = np.searchsorted(steps, constants, side="right")
        first, last = int(bins.min()), int(bins.max())
        if last - first >= _MIN_BARS:
            break
    return [0.0, *steps, math.inf][first : last + 2], np.bincount(bins)[first:].tolist()
