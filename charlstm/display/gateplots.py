"""Gates as a picture: a heat map of each over the text, how often they are closed and open, how long a memory lasts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from charlstm.display.gates import columns_of, full_name, in_words, shown_of
from charlstm.display.plots import SIGNS, new_figure
from charlstm.display.visible import visible_in_line
from charlstm.errors import ConfigError, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from charlstm.inspection.gates import Gates

_WITHIN = 0.99  # of the values of a state are told apart by their colours
_MAX_LAYERS, _MAX_CHARACTERS, _MAX_NAMED = 4, 300, 64  # that a picture has room for
_CHARACTER, _UNIT, _BETWEEN, _BELOW = 0.105, 0.085, 0.3, 3.4  # inches
_COLOURS = {
    "forget": "#c0392b", "input": "#2471a3", "output": "#229954", "reset": "#2471a3", "update": "#c0392b",
}  # fmt: skip
_SHORTEST, _LONGEST = 0.01, 1e6  # characters


def draw_gates(gates: "Gates", name: str, units: int) -> "Figure":
    """A figure of all gates: of the `units` whose `name` varies most, in the same order everywhere.

    Raises:
        ConfigError: matplotlib is missing, or there is no room for so many layers.
    """
    layers = gates.layers
    if len(layers) > _MAX_LAYERS:
        raise ConfigError(
            f"a picture has room for {_MAX_LAYERS} layers, and there are {len(layers)}",
            f"name one: {setting('layer', 1)}",
        )
    panels = [(number, each) for number, layer in layers.items() for each in layer.arrays]
    order = {number: layer.varying(name, units) for number, layer in layers.items()}
    shown = min(len(gates.symbols), _MAX_CHARACTERS)
    heights = [len(panels) * (_UNIT * min(max(units, 6), _MAX_NAMED) + _BETWEEN) + 0.8]
    if gates.keeps:
        heights.append(_BELOW)
    figure = new_figure(max(10.0, _CHARACTER * shown + 2.5, 6.0 * len(layers)), sum(heights))
    title = f"{gates.cell.upper()}: {shown_of(gates, shown)}; units whose {full_name(name)} varies most"
    figure.suptitle(visible_in_line(title), fontsize=10, parse_math=False)
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    upper, *lower = parts[:, 0]
    axes: Any = upper.subplots(len(panels), 1, squeeze=False)[:, 0]
    for place, (number, each) in zip(axes, panels, strict=True):
        layer = layers[number]
        _draw_map(place, layer.arrays[each][:shown, order[number]], each in layer.closed, order[number])
        of_layer = f", layer {number}" if len(layers) > 1 else ""
        place.set_title(full_name(each) + of_layer, fontsize=8, loc="left", pad=2)
        _write_below(place, gates.symbols[:shown])
    for part in lower:
        pairs: Any = part.subplots(1, 2 * len(layers), squeeze=False)[0].reshape(-1, 2)
        for (left, right), number in zip(pairs, layers, strict=True):
            _draw_shares(left, gates, number)
            _draw_constants(right, gates, number)
    return figure


def _draw_map(axes: "Axes", values: np.ndarray, is_gate: bool, order: Sequence[int]) -> None:
    """Values `[N, U]` of the units `order`, from below 0 to above or, of a gate, from 0 to 1."""
    largest = 1.0 if is_gate else float(np.quantile(np.abs(values), _WITHIN)) or 1.0
    image = axes.imshow(
        values.T, aspect="auto", interpolation="nearest", cmap="viridis" if is_gate else "RdBu_r",
        vmin=0 if is_gate else -largest, vmax=largest,
    )  # fmt: skip
    named = list(order) if len(order) <= _MAX_NAMED else []
    axes.set_yticks(range(len(named)), labels=list(map(str, named)), fontsize=4.5)
    axes.set_ylabel("unit", fontsize=7)
    axes.tick_params(length=0, pad=1)
    bar = axes.figure.colorbar(
        image, ax=axes, pad=0.005, fraction=0.015, aspect=12, extend="neither" if is_gate else "both"
    )
    bar.set_label("share that passes" if is_gate else "value", fontsize=6)
    bar.ax.tick_params(labelsize=6, length=2)


def _write_below(axes: "Axes", symbols: Sequence[str]) -> None:
    """The text along the axis. It is no labels of ticks: of hundreds of these the layout would take seconds."""
    axes.set_xticks([])
    axes.set_xlabel(" ", fontsize=7)  # room for it
    for place, (shown, _) in enumerate(columns_of(symbols)):
        shown = SIGNS.get(shown, shown if shown == "\\" or shown[0] != "\\" else "·")  # no room for an escape
        if shown != " ":
            axes.text(
                place, -0.02, shown, fontsize=7, family="monospace", ha="center", va="top",
                transform=axes.get_xaxis_transform(), parse_math=False, in_layout=False,
            )  # fmt: skip


def _draw_shares(axes: "Axes", gates: "Gates", number: int) -> None:
    """Each unit's share of characters with its gate closed and open, as in Karpathy, Johnson & Fei-Fei (2015)."""
    layer = gates.layers[number]
    for gate in layer.closed:
        axes.scatter(
            layer.closed[gate], layer.open[gate], s=9, alpha=0.5, linewidths=0, color=_COLOURS[gate], label=gate
        )
    axes.plot([0, 1], [1, 0], color="0.6", linewidth=0.8)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel(f"share of {gates.unit}s with the gate below 0.1")
    axes.set_ylabel("share with the gate above 0.9")
    axes.set_title(f"how often gates are closed and open\nlayer {number}: a dot is a unit; {_rest(gates)}")
    axes.legend(frameon=False, fontsize=7)
    _small(axes)


def _draw_constants(axes: "Axes", gates: "Gates", number: int) -> None:
    from matplotlib.ticker import MaxNLocator

    constants = gates.layers[number].time_constants
    assert constants is not None
    places = np.clip(constants, _SHORTEST, _LONGEST)  # what never fades comes last
    low, high = float(places.min()), 1.001 * float(places.max())
    bars = math.ceil(2 * len(places) ** (1 / 3))  # Rice's rule
    edges = np.geomspace(low / 1.001, high, bars + 1).tolist()
    axes.hist(places, edges, color=_COLOURS[gates.keeps or ""], alpha=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,g}" if high / low < 50 else "")
    median = float(np.median(constants))
    if math.isfinite(median):
        axes.axvline(median, color="0.2", linewidth=0.8)
    axes.set_xlabel(f"time constant -1 / ln(mean {gates.keeps} gate) ({gates.unit}s)")
    axes.set_ylabel("units")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"how long a memory lasts\nlayer {number}: median {in_words(median)} {gates.unit}s; {_rest(gates)}")
    _small(axes)


def _rest(gates: "Gates") -> str:
    return f"{gates.characters:,} {gates.unit}s"


def _small(axes: "Axes") -> None:
    axes.tick_params(labelsize=7, which="both")
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_fontsize(8)
