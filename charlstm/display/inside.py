"""What happens inside of a model, as parts of a page: gates, neurons, time constants and the flow of gradients.

N: characters of the passage.  U: units.  H: hidden size.
"""

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from charlstm.display.page import add, element, figure, in_line, scrolled, section, table
from charlstm.display.svg import Axis, Line, column_chart, heat_strip, level_class, line_chart

_BINS = 24
_FAINTEST = 1e-9  # of the strongest gradient; what is below is not drawn
_CLOSED, _OPEN = 0.1, 0.9  # nearly (Karpathy, Johnson & Fei-Fei 2015)


class Strip(NamedTuple):
    """A quantity over the passage, `[N, U]`, of the units with these numbers; a gate is from 0 to 1, others have a
    sign."""

    name: str
    values: np.ndarray
    units: Sequence[int]
    is_gate: bool


class Painted(NamedTuple):
    """A neuron over the passage: what it seems to follow, how well in words, and its values `[N]`, from -1 to 1."""

    name: str
    about: str
    values: np.ndarray


def gates_section(letters: Sequence[str], strips: Sequence[Strip], unit: str, where: str) -> Element:
    """Gates and states, a strip each, with the characters along it; these, or bytes, are its `unit`."""
    made = section(
        "gates", "Gates and states",
        element("p", f"A column is one of {where}, a row one of the units of the layer whose state varied most: the "
                f"tile is what the unit did when it had read that {unit}."),
    )  # fmt: skip
    for strip in strips:
        low, high = (0.0, 1.0) if strip.is_gate else _symmetric(strip.values)
        scale = f"from {low:g} (faint) to {high:g} (strong)" if strip.is_gate else f"from {low:.2g} to {high:.2g}"
        about = f"{_in_words(strip, unit)}; {scale}"
        names = [str(unit) for unit in strip.units]
        picture = heat_strip(strip.name, about, letters, strip.values, names, low, high)
        add(made, figure(scrolled(picture, strip.name), element("strong", strip.name), f": {about}."))
    return made


def _in_words(strip: Strip, unit: str) -> str:
    N, U = strip.values.shape
    what = f"{U} units over {N:,} {unit}s, on average {strip.values.mean():.2f}"
    if strip.is_gate:
        closed, opened = (strip.values < _CLOSED).mean(), (strip.values > _OPEN).mean()
        what += f", {closed:.0%} nearly closed (below {_CLOSED}), {opened:.0%} nearly open (above {_OPEN})"
    return what


def _symmetric(values: np.ndarray) -> tuple[float, float]:
    """A range around 0 that leaves out few."""
    high = float(np.quantile(np.abs(values), 0.99)) if values.size else 0.0
    return (-high, high) if high else (-1.0, 1.0)


def neurons_section(letters: Sequence[str], neurons: Sequence[Painted], scores: Element) -> Element:
    """The passage once for each neuron, tinted by its value, and a table of what was found."""
    made = section(
        "neurons", "Neurons with a meaning",
        element("p", "The passage, tinted by what one unit each holds: blue is below 0, orange above."),
    )  # fmt: skip
    for neuron in neurons:
        spans = [
            _letter(letter, level_class(float(value), -1, 1), f"{in_line(letter, True)} {value:+.2f}")
            for letter, value in zip(letters, neuron.values, strict=True)
        ]
        passage = element("p", *(part for each in spans for part in each), class_="passage")
        add(made, figure(passage, element("strong", neuron.name), f": {neuron.about}."))
    return add(made, scores)


def _letter(letter: str, tint: str, title: str) -> list[Element | str]:
    """A tinted character; after a line end the line ends."""
    shown = in_line(letter)
    span = element("span", shown or " ", class_=tint, title=title)
    return [span, "\n"] if "\n" in letter else [span]


def time_constants_section(layers: Sequence[tuple[str, np.ndarray]], gate: str, unit: str, where: str) -> Element:
    """How long memories last: a histogram of the time constants `[H]` of each layer's units, in characters or bytes.

    `gate` is the one that says how much is kept.
    """
    made = section(
        "time-constants", "How long a memory lasts",
        element("p", f"The time constant of a unit, -1 / ln f with f the mean of its {gate} gate, is how many "
                f"{unit}s it takes until 1/e of what it held is left: {where}."),
    )  # fmt: skip
    for name, constants in layers:
        constants = constants[np.isfinite(constants) & (constants > 0)]
        if not len(constants):
            continue
        edges = np.geomspace(constants.min() * 0.999, constants.max() * 1.001, _BINS + 1)
        counts = np.histogram(constants, edges)[0]
        quarters = np.quantile(constants, [0.25, 0.5, 0.75])
        about = (
            f"{len(constants)} units; half of them between {quarters[0]:.2g} and {quarters[2]:.2g} {unit}s, median "
            f"{quarters[1]:.2g}, longest {constants.max():.3g}"
        )
        x = Axis(f"time constant ({unit}s)", float(edges[0]), float(edges[-1]), log=True)
        chart = column_chart(name, about, edges.tolist(), counts.tolist(), x, Axis("units", 0, float(counts.max())))
        add(made, figure(chart, element("strong", name), f": {about}."))
    return made


def gradients_section(
    curves: Sequence[Line], growth: Sequence[tuple[str, float, float]], what: str, where: str
) -> Element:
    """How a gradient fades: its norm by lag, on a logarithmic scale; `what` says of what it is.

    `growth` has the models' names, and by how many nats a small change of the state grows in a character, with the
    standard error.
    """
    heights = np.concatenate([np.asarray(curve.y, np.float64) for curve in curves])
    heights = heights[np.isfinite(heights) & (heights > 0)]
    high = float(heights.max()) if len(heights) else 1.0
    low = max(float(heights.min(initial=high)), _FAINTEST * high)
    y = Axis("norm of the gradient", 0.8 * low, 1.25 * high, log=True)
    x = Axis("lag (characters)", 0, max((float(max(curve.x)) for curve in curves if len(curve.x)), default=1.0))
    ways = [f"{curve.name} from {curve.y[0]:.2g} to {curve.y[-1]:.2g}" for curve in curves if len(curve.y)]
    chart = line_chart("Gradient by lag", "; ".join(ways), curves, x, y)
    rows = [(name, f"{rate:+.4f}", "" if np.isnan(error) else f"{error:.4f}") for name, rate, error in growth]
    headings = ("", "nats per character", "standard error")
    return section(
        "gradients", "Flow of gradients",
        element("p", "How much the loss at a character depends on the state so many characters before: where the curve "
                "falls steeply, nothing is learned from further back."),
        figure(chart, f"Norm of the gradient by {what}; {where}."),
        table("Growth of a small change of the state; below 0 it fades", headings, rows),
    )  # fmt: skip
