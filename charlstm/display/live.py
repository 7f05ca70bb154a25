"""The live view of a run: a bar, the figures, the curve of the loss and the last sample."""

import math
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from charlstm import events
from charlstm.display.console import count, duration, err, note
from charlstm.display.remarks import report_line
from charlstm.display.sparkline import sparkline
from charlstm.display.visible import visible


class _TimeLeft(ProgressColumn):
    """The run knows better than Rich how long it will take."""

    def get_table_column(self) -> Column:
        return Column(no_wrap=True)

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        return Text("" if left is None else f"{duration(left)} left", style="cyan")


def _indented(text: Text, above: int = 0) -> Padding:
    """Part of a frame. Not up to the margin: the `^C` that a terminal echoes would begin another line there."""
    return Padding(text, (above, 0, 0, 2), expand=False)


class LiveView:
    """A bar, the figures, the curve of the loss and the last sample."""

    def __init__(self) -> None:
        self.bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(None),
            TextColumn("{task.percentage:>3.0f}%"), _TimeLeft(), console=err, expand=True,
        )  # fmt: skip
        self.task = self.bar.add_task("compiling", total=None, left=None)
        self.losses: list[float] = []
        self.report: events.Report | None = None
        self.validation: list[float] = []
        self.text, self.text_step = "", 0
        self.live = Live(get_renderable=self.render, console=err, refresh_per_second=8, transient=True)

    def start(self) -> None:
        self.live.start()

    def stop(self) -> None:
        if not self.live.is_started:
            return
        self.live.stop()
        if self.report:
            note(report_line(self.report))

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Counting):
            self.bar.update(self.task, description="counting n-grams", left=None)
        elif isinstance(event, events.Progress):
            of = f"/{event.total:,}" if event.total else ""
            self.bar.update(
                self.task, description=f"step {event.step:,}{of}", total=1.0, completed=event.fraction,
                left=event.seconds_left,
            )  # fmt: skip
        elif isinstance(event, events.Report):
            self.report = event
            self.losses.append(event.loss)
            if event.validation_loss is not None:
                self.validation.append(event.validation_loss)

    def sample(self, step: int, text: str) -> None:
        self.text, self.text_step = visible(text), step

    def _figures(self, report: events.Report, width: int) -> Text:
        """One line: as many of the figures, the most important first, as fit."""
        figures = [Text.assemble(("loss ", "dim"), f"{report.loss:.4f} nats")]
        bits = f"{report.loss / math.log(2):.3f}"
        if self.validation:
            last, best = self.validation[-1], min(self.validation)
            style = "bold green" if last == best else "yellow"
            beside = "" if last == best else f" (best {best:.4f})"
            figures.append(Text.assemble(("validation ", "dim"), (f"{last:.4f} nats", style), beside))
            bits += f" and {last / math.log(2):.3f}"
        figures.append(Text.assemble(("epoch ", "dim"), f"{report.epoch:.1f}"))
        figures.append(Text.assemble(f"{report.characters_per_second:,.0f}", (" characters/s", "dim")))
        figures.append(Text.assemble(bits, (" bits", "dim")))
        while (line := Text("   ", no_wrap=True).join(figures)).cell_len > width and len(figures) > 1:
            figures.pop()
        return line

    def render(self) -> Group:
        parts: list[Any] = [self.bar]
        if report := self.report:
            parts.append(_indented(self._figures(report, err.width - 4)))
            parts.append(_indented(Text(sparkline(self.losses, max(10, err.width - 4)), style="blue")))
        if self.text:
            lines = [line[: err.width - 4] for line in self.text.strip("\n").splitlines()]
            height = max(3, err.height - 7)
            parts.append(_indented(Text(f"sample after {count(self.text_step, 'step')}:", style="dim"), above=1))
            parts.append(_indented(Text("\n".join(lines[:height]), style="italic", no_wrap=True)))
        return Group(*parts)
