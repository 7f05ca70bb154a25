"""How far each cell remembers, as a table and as a picture."""

import math
from typing import TYPE_CHECKING

from charlstm.display.console import count, duration, note, result
from charlstm.display.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.inspection.memory import Trial


def announce(minutes: float) -> None:
    """How long it will take."""
    note(f"three cells, {count(minutes, 'minute')} each, and half a minute for compiling, texts and questions")


def show_memory(trials: "list[Trial]") -> None:
    """For each task the share of right answers by distance, a row a cell."""
    limits = [answers.limit for answers in trials[0].recalls[0].answers]
    result(
        f"{'right up to a distance of':<26}{''.join(f'{limit:>6}' for limit in limits)}  remembers up to", wrap=False
    )
    for number, recall in enumerate(trials[0].recalls):
        result(f"\n{recall.task}: {recall.about}; by chance {recall.chance:.1%}")
        for trial in trials:
            own = trial.recalls[number]
            shares = "".join(
                f"{'-' if math.isnan(each.accuracy) else f'{each.accuracy:.0%}':>6}" for each in own.answers
            )
            name = f"{trial.cell.upper()}, {count(trial.units, 'unit')}"
            result(f"  {name:<24}{shares}  {own.reach or 'nothing'}", wrap=False)
    asked = [answers.examples for recall in trials[0].recalls for answers in recall.answers]
    error = 50 / math.sqrt(max(1, min(asked)))
    result(
        f"\nThe share of right answers on texts that none was trained on: {min(asked):,} to {max(asked):,} examples "
        f"each, standard error at most {error:.1f} points. Remembers: is right in more than half of what chance leaves."
    )
    for trial in trials:
        result(
            f"{trial.cell.upper()}: {trial.parameters:,} parameters, {trial.characters:,} characters read in "
            f"{count(trial.steps, 'step')}, {duration(trial.seconds)}"
        )


def draw_memory(trials: "list[Trial]") -> "Figure":
    """The same as a picture: a panel for each task, a curve for each cell.

    Raises:
        ConfigError: matplotlib is missing.
    """
    tasks = trials[0].recalls
    figure = new_figure(4 * len(tasks), 4)
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for number, (task, axes) in enumerate(zip(tasks, panels, strict=True)):
        for trial in trials:
            answers = trial.recalls[number].answers
            axes.errorbar(
                [each.limit for each in answers], [each.accuracy for each in answers],
                [each.standard_error for each in answers], marker="o", markersize=3, capsize=2,
                label=f"{trial.cell.upper()}, {trial.units} units",
            )  # fmt: skip
        axes.axhline(task.chance, color="grey", linestyle=":", label="chance")
        axes.set_xscale("log", base=2)
        axes.set_xticks([each.limit for each in task.answers], [str(each.limit) for each in task.answers])
        axes.set_xlabel("distance up to (characters)")
        axes.set_title(f"{task.task}: {task.about}", fontsize="small")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of right answers")
    panels[0].set_ylim(0, 1.05)
    panels[-1].legend(frameon=False, fontsize="small")
    return figure
