"""A text with a number from below 0 to above at each character: tinted from blue over nothing to red.

Where there are no colours at all, such as in a pipe, signs stand below the characters.
"""

import math
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from wcwidth import wcswidth

from charlstm.display.console import out, result, show
from charlstm.display.heatmap import HeatMap, Level, Scale, can_tint, clusters, level_of, make_level
from charlstm.display.visible import visible, visible_in_line

if TYPE_CHECKING:
    from charlstm.inspection.painting import Tinted


def signed_scale(title: str, small: float, large: float, largest: float) -> Scale:
    """Seven tints, with none for what is nearer to 0 than `small`."""
    levels = (
        make_level(-math.inf, "#ffffff on #005faf", "white on blue", "bold underline", "=", f"below {-largest:g}"),
        make_level(-largest, "#000000 on #5f87d7", "black on bright_blue", "underline", "-", f"below {-large:g}"),
        make_level(-large, "#000000 on #87afd7", "black on cyan", "none", ".", f"below {-small:g}"),
        make_level(-small, "none", "none", "none", label="0"),
        make_level(small, "#000000 on #d7afaf", "black on yellow", "none", ":", f"above {small:g}"),
        make_level(large, "#000000 on #d75f5f", "black on bright_red", "reverse", "+", f"above {large:g}"),
        make_level(largest, "#ffffff on #af0000", "white on red", "bold reverse", "#", f"above {largest:g}"),
    )
    return Scale(title, levels, attrgetter("value"))


# Of a unit, from -1 to 1.
STATE = signed_scale("held, from -1 to 1", 0.15, 0.45, 0.8)


def show_legend(scale: Scale) -> None:
    """What tints and signs mean, on stdout."""
    if can_tint(out):
        show(HeatMap(out, scale).legend())
        return
    signs = (f"{level.sign} {level.label}" for level in scale.levels if level.sign != " ")
    result(f"{scale.title}: {'   '.join(signs)}")


def show_signed(text: "Sequence[Tinted]", scale: Scale) -> None:
    """Write a text with its tints, or with its signs, on stdout."""
    if can_tint(out):
        HeatMap(out, scale).show(text, legend=False)
        return
    for line in signed_lines(text, scale.levels):
        result(line, wrap=False)


def signed_lines(text: "Sequence[Tinted]", levels: tuple[Level, ...]) -> list[str]:
    """Each line of a text with its line end, and below it a line of signs, if there are any."""
    lines = list[str]()
    for line in lines_of(text):
        lines.append("".join(cell.text for cell in line))
        lines.append("".join(level_of(cell.value, levels).sign * cell.width for cell in line).rstrip())
    return [line for line in lines if line]


class Cell(NamedTuple):
    """What is seen as one character: how it is shown, in so many columns, and its number, 0 where none is known."""

    text: str
    width: int
    value: float


def lines_of(text: "Sequence[Tinted]", columns: float = math.inf) -> Iterator[list[Cell]]:
    """The lines of a text, each with its line end, broken after so many columns; where it is empty, there are none."""
    points = "".join(each.text for each in text)
    numbers = [number for each in text for number in (each.value, *[0.0] * (len(each.text) - 1))]
    line, used, start = list[Cell](), 0, 0
    for cluster in clusters(points):
        known = [number for number in numbers[start : start + len(cluster)] if not math.isnan(number)]
        start += len(cluster)
        shown = visible_in_line(cluster, mark_edges=False)
        cell = Cell(shown, max(0, wcswidth(shown)), math.fsum(known))
        if line and used + cell.width > columns:
            yield line
            line, used = [], 0
        line.append(cell)
        used += cell.width
        if visible(cluster) == "\n":
            yield line
            line, used = [], 0
    if line:
        yield line
