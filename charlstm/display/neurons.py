"""Units with a meaning on a terminal: a table of them, and the best painted over a text."""

from typing import TYPE_CHECKING

from rich.table import Table

from charlstm.display.console import result, show
from charlstm.display.signed import STATE, show_legend, show_signed

if TYPE_CHECKING:
    from charlstm.inspection.neurons import Neuron, Neurons
    from charlstm.inspection.painting import Painting


def show_neurons(found: "Neurons") -> None:
    """The table, what it rests on, and the paintings."""
    if found.neurons:
        _show_table(found.neurons)
        result(
            "scores are AUC (0.5 is guessing) of yes or no, R2 (0 is guessing) of numbers; beside them what the best "
            "unit gets by luck, for the feature shifted against the text, and untrained, with random weights"
        )
        result(f"learned from the first half and scored on the second half of {found.where}")
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.left_out.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        of_all = len(by_reason) == 1 and not found.neurons
        result(f"no score: {reason}" if of_all else f"left out: {', '.join(names)} ({reason})")
    if found.paintings:
        show()
        show_legend(STATE)
    for painting in found.paintings:
        show()
        result(title_of(painting))
        show_signed(painting.characters, STATE)


def _show_table(neurons: "list[Neuron]") -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("feature", "unit", "score", "", "luck", "untrained", "what it holds"):
        is_figure = heading in ("score", "luck", "untrained")
        table.add_column(heading, justify="right" if is_figure else "left", no_wrap=heading != "what it holds")
    for each in neurons:
        figures = f"{each.score:.3f}", each.measure, f"{each.luck:.3f}", f"{each.untrained:.3f}"
        meaning = each.meaning if each.follows else "(no more than luck)"
        table.add_row(each.feature.name, f"{each.layer}.{each.unit}", *figures, meaning)
    show(table)


def title_of(painting: "Painting") -> str:
    """Which unit it is, and what it holds."""
    about = f": {painting.meaning}" if painting.meaning else ""
    return f"unit {painting.layer}.{painting.unit}{about}"
