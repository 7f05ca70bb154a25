"""Pictures of runs, drawn with matplotlib's figures alone: no display, no global state."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.display.visible import visible_in_line
from charlstm.errors import ConfigError
from charlstm.files import atomic_write, is_no_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_KEYS = {"characters": "characters", "time": "elapsed_seconds"}  # axis -> where reports have it
AXES = tuple(_KEYS)
SIGNS = {"\u2424": "\u21b5", "\u2409": "\u2192"}  # of line end and tab: those that the font has


def learning_curves(runs: Mapping[str, Sequence[dict[str, Any]]], path: Path, axes: Sequence[str] = AXES[:1]) -> None:
    """Draw the losses of `runs`, name -> reports, once over each of `axes`; the type of picture is `path`'s ending.

    Raises:
        ConfigError: matplotlib is missing, or cannot draw that type of picture.
        StorageError: the picture cannot be written.
    """
    kind = picture_type(path)
    figure = new_figure(8 if len(axes) == 1 else 6 * len(axes))
    panels = figure.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        for number, (name, reports) in enumerate(runs.items()):
            _draw_losses(panel, axis, reports, f"C{number}", without_formulas(name))
        panel.set_xlabel("characters read (millions)" if axis == "characters" else "time (minutes)")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("loss (nats per character)")
    if any(panel.has_data() for panel in panels):
        panels[0].legend(frameon=False)
    save_figure(figure, path, kind)


def picture_type(path: Path) -> str:
    """What kind of picture the ending of `path` stands for.

    Raises:
        ConfigError: matplotlib is missing, or cannot draw it, or `path` cannot be a file.
    """
    if is_no_file(path):
        raise ConfigError(f"{path} is not a file", "name one")
    supported, kind = new_figure().canvas.get_supported_filetypes(), path.suffix.lstrip(".").lower()
    if kind not in supported:
        raise ConfigError(f"cannot draw {path.name!r}", f"end its name with one of .{', .'.join(sorted(supported))}")
    return kind


def new_figure(width: float = 8, height: float = 4.5) -> "Figure":
    """An empty figure of so many inches.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("plots need matplotlib", "install it with `pip install 'charlstm[plots]'`") from error
    return Figure(figsize=(width, height), layout="constrained")


def without_formulas(text: str) -> str:
    """Foreign text for a picture: dollars would begin a formula."""
    return visible_in_line(text).replace("$", r"\$")


def save_figure(figure: "Figure", path: Path, kind: str) -> None:
    """Write a figure as a picture of type `kind`; an SVG is the same bytes for the same figure.

    A character that matplotlib's font does not have is a box, and no warning.

    Raises:
        StorageError: it cannot be written.
    """
    import matplotlib

    metadata = {"Date": None} if kind == "svg" else None
    with atomic_write(path) as file, warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "charlstm"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(file, format=kind, dpi=150, metadata=metadata)


def _draw_losses(panel: Any, axis: str, reports: Sequence[dict[str, Any]], colour: str, name: str) -> None:
    """The losses of a run, where it is known how far it was."""
    scale = 1e6 if axis == "characters" else 60
    known = [(report[_KEYS[axis]] / scale, report) for report in reports if report[_KEYS[axis]] is not None]
    panel.plot(
        [x for x, _ in known], [_loss_of(report) for _, report in known], color=colour, alpha=0.4,
        label=f"training of {name}",
    )  # fmt: skip
    validations = [(x, report["validation_loss"]) for x, report in known if report["validation_loss"]]
    if validations:
        panel.plot(
            *zip(*validations, strict=True), color=colour, marker="o", markersize=3, label=f"validation of {name}"
        )


def _loss_of(report: dict[str, Any]) -> float:
    """NaN, a gap in the curve, where all steps were skipped."""
    return math.nan if report["loss"] is None else report["loss"]
