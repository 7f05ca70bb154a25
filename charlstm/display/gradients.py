"""Gradient flow as a table with bars on a log scale, and as a picture."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from charlstm.display.console import count, on_terminal, out, result
from charlstm.display.plots import new_figure, without_formulas
from charlstm.display.sparkline import BLOCKS
from charlstm.display.visible import visible_in_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.inspection.flow import Curve, Flow
    from charlstm.inspection.gradients import GradientFlow

_COLUMNS = 6  # of lags
_CARRIED = math.log(100) / 128  # nats per character: what changes less than a hundredfold in 128 is carried
_LOWEST = -600.0  # nats: e^-600 is drawn where there is less


def show_gradients(found: "GradientFlow") -> None:
    """What becomes of gradients in each model: in words, as a row of figures for each part of its state, as a curve."""
    lags = _shown_lags(len(found.flows[0].curves[0].logs))
    headings = "".join(f"{lag:>7}" for lag in lags)
    result(f"{'norm at lag':<12}{'1/e':>5}{'1/100':>6}{headings}  from 1 to {lags[-1]}", wrap=False)
    several = len({curve.layer for flow in found.flows for curve in flow.curves}) > 1
    for flow in found.flows:
        result(f"\n{visible_in_line(flow.name)}, {flow.model.cell.upper()}: {_in_words(flow)}")
        for curve in flow.curves:
            name = f"{curve.part} {curve.layer}" if several else curve.part
            figures = "".join(f"{_figure(curve.relative[lag - 1]):>7}" for lag in lags)
            decay = f"{curve.decay(1 / math.e) or '-':>5}{curve.decay(0.01) or '-':>6}"
            result(f"{name:<12}{decay}{figures}  {_bars(curve)}", wrap=False)
    windows, characters = found.flows[0].windows, found.flows[0].characters
    result(
        "\nhidden, cell: norm of the gradient of a character's loss by the state so many characters before it, beside "
        f"that at lag 1; geometric mean of {count(windows, 'window')}. carousel: what the direct path alone would "
        "leave, the product of the forget gates (GRU: update gates). 1/e, 1/100: the first lag at which so little is "
        f"left. A step of a bar is a factor of ten. Growth is that of {characters:,} of {found.where}; carried: "
        "changed less than a hundredfold by 128 characters."
    )


def _shown_lags(lags: int) -> list[int]:
    """Powers of two, and the last lag."""
    powers = [2**k for k in range(lags.bit_length()) if 2**k < lags]
    return [*powers[max(0, len(powers) + 1 - _COLUMNS) :], lags]


def _in_words(flow: "Flow") -> str:
    """Whether gradients vanish, explode or are carried, by how much."""
    error = "" if math.isnan(flow.growth_error) else f", standard error {flow.growth_error:.4f}"
    if abs(flow.growth) < _CARRIED:
        verdict = "gradients are carried"
    else:
        verdict = "gradients vanish" if flow.growth < 0 else "gradients explode"
    moves, factor = ("shrinks", "to half") if flow.growth < 0 else ("grows", "twofold")
    time = f", {factor} in {math.log(2) / abs(flow.growth):.3g} characters" if flow.growth else ""
    return f"{verdict}. A small change {moves} by {abs(flow.growth):.4f} nats per character{error}{time}"


def _figure(log: float) -> str:
    """exp(log) with two digits, or with one and its power of ten: it may be smaller than any number."""
    if math.isinf(log):
        return "0"
    if math.log(1e-3) < log < math.log(999.5):
        return f"{math.exp(log):.2g}" if log < math.log(99.5) else f"{math.exp(log):.0f}"
    power = math.floor(log / math.log(10))
    digit = round(math.exp(log - power * math.log(10)))
    return f"{digit if digit < 10 else 1}e{power + (digit == 10):+03}"


def _bars(curve: "Curve") -> str:
    """A norm over the lags, as block characters on a log scale: each is ten times the one before."""
    width = max(8, min(32, out.width - 68)) if on_terminal(out) else 24
    decades = curve.relative / math.log(10)
    bins = np.array_split(decades, min(width, len(decades)))
    top = len(BLOCKS) - 1
    levels = [max(0, min(top, top + round(max(-99.0, part.mean())))) for part in bins]
    return "".join(BLOCKS[level] for level in levels)


def draw_gradients(found: "GradientFlow") -> "Figure":
    """The same as a picture: a panel for each layer, a colour for each model.

    Raises:
        ConfigError: matplotlib is missing.
    """
    layers = sorted({curve.layer for flow in found.flows for curve in flow.curves})
    figure = new_figure(1 + 6 * len(layers), 5)
    panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
    for layer, axes in zip(layers, panels, strict=True):
        for number, flow in enumerate(found.flows):
            for curve in flow.curves:
                if curve.layer == layer:
                    _draw(axes, curve, f"C{number}", f"{flow.name}, {flow.model.cell.upper()}")
        axes.set_xlabel("lag (characters)")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.set_title(f"layer {layer}", loc="left", fontsize="medium")
    panels[0].set_ylabel("norm of the gradient, beside that at lag 1")
    panels[-1].legend(frameon=False, fontsize="small")
    rests_on = f"geometric mean and quartiles of {count(found.flows[0].windows, 'window')}; {found.where}"
    figure.supxlabel(without_formulas(rests_on), fontsize="small")
    return figure


_LINES = {"hidden": "--", "cell": "-", "carousel": ":"}


def _draw(axes: Any, curve: "Curve", colour: str, name: str) -> None:
    """A curve with its quartiles; what is smaller than any number is left out."""
    if not math.isfinite(curve.mean[0]):  # no gradient at all
        return
    lags = np.arange(1, len(curve.logs) + 1)
    curves = (curve.mean, curve.quantile(0.25), curve.quantile(0.75))
    middle, low, high = (np.exp(np.maximum(logs - curve.mean[0], _LOWEST)) for logs in curves)
    label = without_formulas(f"{name}: {curve.part}")
    axes.plot(lags, middle, _LINES[curve.part], color=colour, label=label, linewidth=1.2)
    axes.fill_between(lags, low, high, color=colour, alpha=0.12, linewidth=0)
