"""Watching a run: JSON lines, nothing, a live view, or a plain line for each report."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from statistics import fmean
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from charlstm import events
from charlstm.config import to_dict
from charlstm.display.bars import Bars
from charlstm.display.console import as_flag, command, count, duration, err, nats, note, on_terminal, result, write_json
from charlstm.display.sparkline import sparkline
from charlstm.display.visible import visible
from charlstm.errors import StorageError, worded
from charlstm.options import format_schedule


def _describe(event: events.Started) -> None:
    """What is about to happen, in three lines."""
    config, model, training = event.config, event.config.model, event.config.training
    budget = count(training.steps, "step")
    if training.minutes:
        budget = f"{count(training.minutes, 'minute')}, at most {budget},"
    rare = f" ({model.rare:,} of them rare)" if model.rare else ""
    note(
        f"{event.run}: {config.corpus.characters:,} characters, {model.vocabulary_size:,} distinct{rare}, "
        f"{training.validation:.0%} of them for validation"
    )
    note(
        f"{model.words}, {event.parameters:,} parameters, "
        f"dropout {model.dropout:g}, weight drop {model.weight_drop:g}; "
        f"{count(training.batch_size, 'stream')}, windows of {training.sequence_length}; "
        f"{budget} in {training.precision}"
    )
    for each in event.notes:
        note(worded(each, as_flag))


_NAMES: dict[type, str] = {events.NotSaved: "not_saved", events.RolledBack: "rolled_back"}


def _remarks(event: events.Event) -> Iterator[str]:
    """What must be said even where nothing else is."""
    match event:
        case events.Joined():
            yield f"{len(event.hosts)} processes on {', '.join(sorted(set(event.hosts)))}"
        case events.Resumed():
            yield from event.notes
        case events.NotSaved():
            yield f"not saved at step {event.step:,}: {event.message}; training goes on, and will try again"
        case events.RolledBack():
            yield (
                f"too many steps were not finite: back from step {event.step:,} to the save at step {event.back_to:,}, "
                f"with a peak learning rate of {event.learning_rate:.3g}"
            )
        case _:
            pass


def _is_live(as_json: bool, quiet: bool) -> bool:
    return on_terminal(err) and err.is_interactive and not as_json and not quiet


class Watcher:
    """Renders the events of a run: JSON lines, nothing, a live view, or a plain line for each report."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.started: events.Started | None = None
        self.finished: events.Finished | None = None
        self._problem = ""  # why the last save failed
        self.bars = Bars(enabled=not as_json)
        self.live = _LiveView() if _is_live(as_json, quiet) else None
        self._failure: StorageError | None = None

    def __enter__(self) -> "Watcher":
        self.bars.__enter__()
        return self

    def __exit__(self, *ended: Any) -> None:
        self.bars.__exit__(*ended)
        if self.live:
            self.live.stop()

    def show(self, event: events.Event) -> None:
        """Render one event; what the model writes when a sample is due comes through `sample`."""
        match event:
            case events.Preparing():
                self.bars(event.what, event.done, event.total)
                return
            case events.Started():
                self.started = event
                self.bars.close()
                if self.quiet and not self.as_json:
                    self._tell(partial(result, f"run {event.run}"))
                elif not self.as_json:
                    _describe(event)
            case events.Compiling() if self.live:
                self.live.start()
            case events.Finished():
                self.finished = event
            case _:
                pass
        if self.as_json:
            if not isinstance(event, events.Compiling | events.Progress | events.SampleDue):
                name = _NAMES.get(type(event)) or type(event).__name__.lower()
                self._tell(partial(write_json, {"event": name, **_plain(event)}))
            return
        if isinstance(event, events.NotSaved | events.Saved):
            before, self._problem = self._problem, getattr(event, "message", "")
            if self._problem == before:  # it is said once, until it changes
                return
        for remark in _remarks(event):
            note(remark)
        if self.live:
            self.live.show(event)
        elif not self.quiet:
            if isinstance(event, events.Compiling):
                note("compiling ...")
            if isinstance(event, events.Counting):
                note("counting n-grams ...")
            if isinstance(event, events.Report):
                note(_report_line(event))

    def sample(self, step: int, text: str) -> None:
        """What the model writes after `step` steps."""
        if self.as_json:
            self._tell(partial(write_json, {"event": "sample", "step": step, "text": text}))
        elif self.live:
            self.live.sample(step, text)
        elif not self.quiet:
            note(f"--- step {step:,} ---\n{text.strip()}\n---")

    def _tell(self, write: Callable[[], None]) -> None:
        """Write to standard output; training goes on where nobody can read it."""
        try:
            write()
        except BrokenPipeError:
            note("nobody reads standard output any more; training goes on")
        except StorageError as error:
            self._failure = error
            note(f"{error.message}; training goes on")

    def finish(self, advice: str = "", repeat: str = "") -> None:
        """The last word: what came out, and the commands that the user will want next; `repeat` is one of them.

        Raises:
            StorageError: standard output was closed or full, now or before.
        """
        with suppress(BrokenPipeError):  # the run is what matters, and that is whole
            self._finish(advice, repeat)
        if self._failure:
            raise self._failure

    def _finish(self, advice: str, repeat: str) -> None:
        event, path = self.finished, self.started and self.started.run
        if self.as_json or not event or not path:
            return
        stopped = event.reason == "stopped"
        if stopped:
            err.print(Text.assemble(("stopped", "bold"), f" after step {event.step:,}; continue with"))
            note(f"  {command('train', '--run', path, '--resume')}", wrap=False)
            return
        if event.reason == "patience":
            note(f"no better validation since step {event.best_step:,}: stopped at step {event.step:,}")
        if event.best:
            best = event.best
            result(
                f"best validation loss {nats(best.loss)}, perplexity {best.perplexity:.3f}, at step {event.best_step:,}"
            )
            if event.members:
                losses = [score.loss for score in event.members]
                alone = ", ".join(f"{loss:.4f}" for loss in losses)
                result(f"the members alone {alone}; averaging them gained {fmean(losses) - best.loss:.4f} nats")
            if event.with_counts:
                both = event.with_counts
                result(f"with counts beside the network {nats(both.loss)}, perplexity {both.perplexity:.3f}")
            if best.characters < event.held_out:
                result(f"(of the first {best.characters:,} of {event.held_out:,} characters held out)")
        else:
            result(f"training loss {nats(event.loss)}; no validation")
        result(f"trained {count(event.step, 'step')} in {duration(event.elapsed_seconds)}")
        if not self.quiet:
            if advice:
                result(worded(advice, as_flag))
            result("next:")
            result(f"  {command('sample', path)}", wrap=False)
            if event.best:
                result(f"  {command('evaluate', path)}", wrap=False)
            if repeat:
                result("the same once more, exactly, on this machine:")
                result(f"  {repeat}", wrap=False)


def _plain(event: Any) -> dict[str, Any]:
    if isinstance(event, events.Started):
        notes = [worded(each, as_flag) for each in event.notes]
        return {"run": str(event.run), "config": to_dict(event.config), "parameters": event.parameters, "notes": notes}
    plain = dataclasses.asdict(event)
    if isinstance(event, events.Finished):
        for name in ("best", "with_counts"):
            score = getattr(event, name)
            plain[name] = score and score.to_dict()
        plain["members"] = [score.to_dict() for score in event.members]
        plain["schedule"] = format_schedule(event.schedule)
    return plain


def _report_line(report: events.Report) -> str:
    validation = "" if report.validation_loss is None else f"  validation {report.validation_loss:.4f}"
    return (
        f"step {report.step:,}  epoch {report.epoch:.2f}  loss {report.loss:.4f} nats "
        f"{report.loss / math.log(2):.3f} bits{validation}  {report.characters_per_second:,.0f} characters/s  "
        f"{duration(report.elapsed_seconds)}"
        + (f"  {report.skipped:,} steps skipped: not finite" if report.skipped else "")
    )


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


class _LiveView:
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
            note(_report_line(self.report))

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
