"""Charts as inline SVG: lines, columns and strips of heat. Their colours are classes, so that a page is dark or light.

Each has a title and a description for those who do not see it, and nothing is told by colour alone: lines are dashed
differently, and figures stand in descriptions and tables.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from charlstm.display.page import element, in_line

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 622, 12, 244  # of the field of a chart
_CELL = 10  # of a strip: the width and height of a character of a unit
_MAX_POINTS = 600  # of a line

LEVELS = 8  # of heat


class Line(NamedTuple):
    """A curve `y` over `x`; with `dots` its points are marked.

    There is a gap where it is not finite, above its axis or, of a logarithmic one, below.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


class Axis(NamedTuple):
    """What is drawn along an axis, from `low` to `high`; on a logarithmic one they are above 0."""

    label: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value is, from 0 to 1; what is outside is at the edge."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        return max(0.0, min(1.0, (value - low) / ((high - low) or 1.0)))

    def ticks(self) -> list[float]:
        """Round numbers along it, three to seven; a short logarithmic axis has the even ones of any other."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first > 1:
                return [10.0**power for power in range(first, last + 1, -(-(last - first) // 6))]
            steps = [part * 10.0**power for power in range(first - 1, last + 1) for part in (1, 2, 5)]
            found = [step for step in steps if self.low <= step * (1 + 1e-9) and step <= self.high * (1 + 1e-9)]
            if len(found) > 2 or self.low == self.high:
                return found
        span = (self.high - self.low) or 1.0
        size = 10.0 ** math.floor(math.log10(span))
        step = next(size * part for part in (0.2, 0.5, 1, 2) if span / (size * part) <= 6)
        return [step * k for k in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def line_chart(title: str, about: str, lines: Sequence[Line], x: Axis, y: Axis) -> Element:
    """Curves in a field with ticks, and their names below it."""
    curves = [_curve(line, number, x, y) for number, line in enumerate(lines)]
    chart = _picture(title, about, _WIDTH, _HEIGHT, *_frame(x, y), *(part for curve in curves for part in curve))
    keys = [
        element("li", _key(number, line.dots), f" {line.name}") for number, line in enumerate(lines) if len(lines) > 1
    ]
    return element("div", chart, element("ul", *keys, class_="keys") if keys else None)


def column_chart(title: str, about: str, edges: Sequence[float], counts: Sequence[float], x: Axis, y: Axis) -> Element:
    """A histogram: `counts` `[n]` of what is between `edges` `[n + 1]`."""
    columns = []
    for low, high, number in zip(edges, edges[1:], counts, strict=False):
        left, right, top = _across(x, low), _across(x, high), _down(y, number)
        what = element("title", f"{short(low)} to {short(high)}: {short(number)}")
        size = {"width": _round(max(0.5, right - left - 1)), "height": _round(_BOTTOM - top)}
        columns.append(element("rect", what, x=_round(left), y=_round(top), class_="column", **size))
    return _picture(title, about, _WIDTH, _HEIGHT, *_frame(x, y), *columns)


def heat_strip(
    title: str, about: str, letters: Sequence[str], values: np.ndarray, names: Sequence[str], low: float, high: float
) -> Element:
    """A tile for each letter and unit: `values` `[N, U]` in levels from `low` to `high`, below them the text.

    `names` `[U]` stand at the left. Where `low` is below 0 the levels are those of a quantity with a sign.
    """
    kind, levels = "d" if low < 0 else "h", _levels(values, low, high)
    N, U = values.shape
    left = 8 + 6 * max(map(len, names), default=0)
    tiles = [
        element("path", d="".join(_runs(levels == level, left)), class_=f"{kind}{level}") for level in range(LEVELS)
    ]
    rows = [element("text", name, x=left - 4, y=_CELL * u + 8, class_="row") for u, name in enumerate(names)]
    text = [
        element("text", letter, x=_round(left + _CELL * (n + 0.5)), y=_CELL * U + 13, class_="letter")
        for n, letter in enumerate(map(glyph, letters))
        if letter
    ]
    size = left + _CELL * N + 2, _CELL * U + 20
    return _picture(title, about, *size, *(tile for tile in tiles if tile.get("d")), *rows, *text, class_="strip")


def level_class(value: float, low: float, high: float) -> str:
    """The class of the level of a single value."""
    return f"{'d' if low < 0 else 'h'}{int(_levels(np.array(value), low, high))}"


def short(value: float) -> str:
    """A number on an axis: `1.5 M`, `20 k`, `0.25`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size * (10 if size == 1e3 else 1):
            return f"{value / size:.4g}{unit}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def glyph(letter: str) -> str:
    """A character where there is room for one: a space is empty, an escape of several is a box."""
    shown = in_line(letter)
    return shown.strip() if len(shown) < 2 else "▯"


def _picture(title: str, about: str, width: float, height: float, *parts: Element, class_: str = "chart") -> Element:
    named = {"role": "img", "aria_label": f"{title}. {about}", "class_": class_}
    size = {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return element("svg", element("title", title), element("desc", about), *parts, **named, **size)


def _frame(x: Axis, y: Axis) -> list[Element]:
    parts = []
    for value in y.ticks():
        at = _round(_down(y, value))
        parts.append(element("path", d=f"M{_LEFT} {at}H{_RIGHT}", class_="grid"))
        parts.append(element("text", _tick(y, value), x=_LEFT - 8, y=at, dy="0.35em", class_="y"))
    for value in x.ticks():
        at = _round(_across(x, value))
        parts.append(element("path", d=f"M{at} {_BOTTOM}v5", class_="axis"))
        parts.append(element("text", _tick(x, value), x=at, y=_BOTTOM + 20, class_="x"))
    parts.append(element("path", d=f"M{_LEFT} {_BOTTOM}H{_RIGHT}", class_="axis"))
    parts.append(element("text", x.label, x=(_LEFT + _RIGHT) / 2, y=_HEIGHT - 10, class_="x label"))
    middle = (_TOP + _BOTTOM) / 2
    turned = f"rotate(-90 14 {middle:g})"
    parts.append(element("text", y.label, x=14, y=f"{middle:g}", transform=turned, class_="x label"))
    return parts


def _tick(axis: Axis, value: float) -> str:
    if axis.log and not 1e-3 <= value < 1e4:
        digits, power = f"{value:.2e}".split("e")
        return f"{float(digits):g}e{int(power)}"
    return short(value)


def _curve(line: Line, number: int, x: Axis, y: Axis) -> list[Element]:
    every = max(1, len(line.x) // _MAX_POINTS)
    path, before, parts = "", False, list[Element]()
    for at, value in list(zip(line.x, line.y, strict=True))[::every]:
        known = math.isfinite(at) and math.isfinite(value) and value <= y.high and (not y.log or value >= y.low)
        if known:
            place = f"{_round(_across(x, at))} {_round(_down(y, value))}"
            path += f"{'L' if before else 'M'}{place}"
            if line.dots:
                left, top = place.split()
                parts.append(element("circle", cx=left, cy=top, r=2.5, class_=f"dot c{number}"))
        before = known
    return [element("path", d=path, class_=f"line c{number}"), *parts] if path else []


def _key(number: int, dots: bool) -> Element:
    dot = element("circle", cx=15, cy=6, r=2.5, class_=f"dot c{number}") if dots else None
    line = element("path", d="M1 6H29", class_=f"line c{number}")
    return element("svg", line, dot, viewBox="0 0 30 12", width=30, height=12, aria_hidden="true")


def _levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    shares = np.nan_to_num((np.asarray(values, np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip((shares * LEVELS).astype(np.int64), 0, LEVELS - 1)


def _runs(is_here: np.ndarray, left: float) -> list[str]:
    """Tiles of one level, `[N, U]`: neighbours in a row are one rectangle."""
    found = []
    for u in range(is_here.shape[1]):
        changes = np.flatnonzero(np.diff(np.concatenate([[0], is_here[:, u].astype(np.int8), [0]])))
        for start, end in changes.reshape(-1, 2).tolist():
            length = _CELL * (end - start)
            found.append(f"M{left + _CELL * start:g} {_CELL * u}h{length}v{_CELL}h-{length}z")
    return found


def _across(x: Axis, value: float) -> float:
    return _LEFT + x.place(value) * (_RIGHT - _LEFT)


def _down(y: Axis, value: float) -> float:
    return _BOTTOM - y.place(value) * (_BOTTOM - _TOP)


def _round(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
