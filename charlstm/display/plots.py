"""Pictures of runs, drawn with matplotlib's figures alone: no display, no global state."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.display.visible import visible
from charlstm.errors import ConfigError
from charlstm.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(runs: Mapping[str, Sequence[dict[str, Any]]], path: Path) -> None:
    """Draw the losses of `runs`, name -> reports, over the characters read; the type of picture is `path`'s ending.

    Raises:
        ConfigError: matplotlib is missing, or cannot draw that type of picture.
        StorageError: the picture cannot be written.
    """
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for number, (name, reports) in enumerate(runs.items()):
        colour, shown = f"C{number}", visible(name).replace("$", r"\$")  # dollars would begin a formula
        millions = [report["characters"] / 1e6 for report in reports]
        axes.plot(
            millions, [_loss_of(report) for report in reports], color=colour, alpha=0.4, label=f"training of {shown}"
        )
        validations = [
            (m, r["validation_loss"]) for m, r in zip(millions, reports, strict=True) if r["validation_loss"]
        ]
        if validations:
            axes.plot(
                *zip(*validations, strict=True), color=colour, marker="o", markersize=3, label=f"validation of {shown}"
            )
    axes.set_xlabel("characters read (millions)")
    axes.set_ylabel("loss (nats per character)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    supported, kind = figure.canvas.get_supported_filetypes(), path.suffix.lstrip(".").lower()
    if kind not in supported:
        raise ConfigError(f"cannot draw {path.name!r}", f"end its name with one of .{', .'.join(sorted(supported))}")
    save_figure(figure, path, kind)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("plots need matplotlib", "install it with `pip install 'charlstm[plots]'`") from error
    return Figure(figsize=(width, height), layout="constrained")


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


def _loss_of(report: dict[str, Any]) -> float:
    """NaN, a gap in the curve, where all steps were skipped."""
    return math.nan if report["loss"] is None else report["loss"]
