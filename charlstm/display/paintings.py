"""Texts with a number at each character, as a picture: tinted from blue over white to red."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from charlstm.display.attribution import SMALL, headline, rows
from charlstm.display.neurons import title_of
from charlstm.display.plots import SIGNS, new_figure
from charlstm.display.signed import Cell, lines_of
from charlstm.display.visible import visible_in_line
from charlstm.errors import ConfigError, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from charlstm.inspection.attribution import Attribution
    from charlstm.inspection.neurons import Neurons
    from charlstm.inspection.painting import Tinted

_MIN_COLUMNS, _COLUMNS, _MAX_LINES = 20, 80, 1000
_CHARACTER, _LINE, _TITLE = 0.105, 0.2, 0.45  # inches
_DARK = 0.6  # of the scale: from there on letters are white


def draw_neurons(found: "Neurons") -> "Figure":
    """The painted units.

    Raises:
        ConfigError: matplotlib is missing, or no unit follows anything.
    """
    if not found.paintings:
        raise ConfigError(
            "no unit follows a feature better than by luck and untrained",
            f"{setting('unit', '1.0')} paints one all the same",
        )
    texts = [(title_of(each), each.characters) for each in found.paintings]
    return _draw_texts(f"what units hold, from -1 to 1; {found.where}", texts, 1.0)


def draw_attributions(found: "list[Attribution]") -> "Figure":
    """What predictions rest on.

    Raises:
        ConfigError: matplotlib is missing.
    """
    texts = [(f"{headline(each)}\n{title}", text) for each in found for title, text in rows(each)]
    largest = max((abs(each.value) for _, text in texts for each in text if math.isfinite(each.value)), default=0)
    return _draw_texts("which characters a prediction rests on", texts, max(largest, 2 * SMALL), SMALL, "nats")


def _draw_texts(
    heading: str, texts: "Sequence[tuple[str, Sequence[Tinted]]]", largest: float, small: float = 0, unit: str = ""
) -> "Figure":
    """Texts, each below its title; the deepest tints are `largest` in `unit`, on a log scale from `small` on, if given.

    Raises:
        ConfigError: matplotlib is missing, or the texts have too many lines.
    """
    grids = [list(lines_of(text, _COLUMNS)) for _, text in texts]
    if (lines := sum(map(len, grids))) > _MAX_LINES:
        raise ConfigError(f"a picture has room for {_MAX_LINES:,} lines, and there are {lines:,}", "show less text")
    heights = [_TITLE + _LINE * len(grid) for grid in grids]
    columns = max(_MIN_COLUMNS, *(sum(cell.width for cell in line) for grid in grids for line in grid))
    figure = new_figure(_CHARACTER * columns + 1.2, sum(heights) + 0.5)
    figure.suptitle(visible_in_line(heading), fontsize=9, parse_math=False)
    places = figure.subplots(len(texts), 1, squeeze=False, height_ratios=heights)[:, 0]
    from matplotlib.colors import Normalize, SymLogNorm  # only now: `new_figure` says it in a sentence if it is missing

    norm = SymLogNorm(small, vmin=-largest, vmax=largest) if small else Normalize(-largest, largest)
    images = [_draw(axes, grid, columns, norm) for axes, grid in zip(places, grids, strict=True)]
    for axes, (title, _) in zip(places, texts, strict=True):
        title = "\n".join(map(visible_in_line, title.split("\n")))
        axes.set_title(title, fontsize=8, loc="left", parse_math=False)
    bar = figure.colorbar(images[0], ax=list(places), fraction=0.02, pad=0.01, aspect=30)
    bar.set_label(unit, fontsize=7)
    bar.ax.tick_params(labelsize=6, length=2)
    return figure


def _draw(axes: "Axes", lines: list[list[Cell]], columns: int, norm: "Normalize") -> "AxesImage":
    values = np.full((len(lines), columns), np.nan)
    for row, line in enumerate(lines):
        column = 0
        for cell in line:
            values[row, column : column + cell.width] = cell.value
            axes.text(
                column + (cell.width - 1) / 2, row, SIGNS.get(cell.text, cell.text), ha="center", va="center",
                fontsize=7, family="monospace", color="white" if abs(2 * norm(cell.value) - 1) > _DARK else "black",
                parse_math=False,
            )  # fmt: skip
            column += cell.width
    axes.set_axis_off()
    return axes.imshow(values, cmap="RdBu_r", norm=norm, aspect="auto", interpolation="nearest")
