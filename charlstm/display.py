"""Everything that people see. Results go to stdout, all else to stderr; text that a model wrote never meets Rich markup."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from charlstm import events
from charlstm.config import RunConfig
from charlstm.download import NamedCorpus
from charlstm.errors import CharLSTMError
from charlstm.score import Score

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_BLOCKS = "▁▂▃▄▅▆▇█"


def show_error(error: CharLSTMError) -> None:
    """One red sentence, and the way out below it."""
    err.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.hint:
        err.print(f"[dim]hint:[/] {escape(error.hint)}")


def note(text: str) -> None:
    """A remark on stderr."""
    err.print(escape(text))


def write(data: bytes) -> None:
    """Text of the model to stdout at once, byte for byte."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_json(data: Any) -> None:
    """One JSON object on a line of stdout; what is not finite becomes null."""
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in data.items()}
    print(json.dumps(clean), flush=True)


def duration(seconds: float) -> str:
    """`1:23` or `2:03:04`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def nats(loss: float) -> str:
    """A loss in both of its units."""
    return f"{loss:.4f} nats ({loss / math.log(2):.3f} bits) per character"


def command(*words: object) -> str:
    """A command line to copy, quoted where need be."""
    import shlex

    return shlex.join(["charlstm", *map(str, words)])


# --- watching a run -----------------------------------------------------------------------------------------------


def describe_run(config: RunConfig, parameters: int, path: Path, notes: list[str]) -> None:
    """What is about to happen, in three lines."""
    model, training = config.model, config.training
    budget = f"{training.minutes:g} minutes" if training.minutes else f"{training.steps:,} steps"
    note(
        f"{path}: {config.corpus.characters:,} characters, {model.vocabulary_size} different ones, "
        f"{training.validation:.0%} of them for validation"
    )
    note(
        f"{model.layers} x {model.hidden_size} {model.cell.upper()}, {parameters:,} parameters, dropout {model.dropout:g}; "
        f"{training.batch_size} streams, windows of {training.sequence_length}; {budget} in {training.precision}"
    )
    for each in notes:
        note(each)


class Watcher:
    """Renders the events of a run: JSON lines, nothing, a live view, or a plain line for each report."""

    def __init__(self, path: Path, as_json: bool, quiet: bool) -> None:
        self.path, self.as_json, self.quiet = path, as_json, quiet
        self.live = _LiveView() if err.is_terminal and not (as_json or quiet) else None

    def __enter__(self) -> "Watcher":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, event: events.Event) -> None:
        """Render one event; a model's passage comes through `passage`."""
        if self.as_json:
            if isinstance(event, events.Report | events.Saved | events.Finished):
                write_json({"event": type(event).__name__.lower(), **_plain(event)})
        elif self.live:
            self.live.show(event)
        elif not self.quiet:
            if isinstance(event, events.Compiling):
                note("compiling ...")
            if isinstance(event, events.Report):
                note(_report_line(event))

    def passage(self, step: int, text: str) -> None:
        """What the model wrote after `step` steps."""
        if self.as_json:
            write_json({"event": "sample", "step": step, "text": text})
        elif self.live:
            self.live.passage(step, text)
        elif not self.quiet:
            note(f"--- step {step:,} ---\n{text.strip()}\n---")

    @property
    def wants_passages(self) -> bool:
        """Whether anybody will read them."""
        return not self.quiet

    def finish(self, event: events.Finished) -> None:
        """The last word: what came out, and the commands that the user will want next."""
        if self.as_json:
            return
        stopped = event.reason == "stopped"
        if stopped:
            err.print(f"[bold]stopped[/] after step {event.step:,}; go on with")
            err.print(f"  {escape(command('train', '--run', self.path, '--resume'))}")
            return
        if event.reason == "patience":
            note(f"no better validation since step {event.best_step:,}: stopped at step {event.step:,}")
        if event.best:
            best = event.best
            out.print(
                f"best validation loss {nats(best.loss)}, perplexity {best.perplexity:.3f}, at step {event.best_step:,}"
            )
        else:
            out.print(f"training loss {nats(event.loss)}; no validation")
        out.print(f"trained {event.step:,} steps in {duration(event.elapsed_seconds)}")
        if not self.quiet:
            out.print("next:")
            out.print(f"  {escape(command('sample', self.path))}")
            out.print(f"  {escape(command('evaluate', self.path))}")


def _plain(event: Any) -> dict[str, Any]:
    plain = dataclasses.asdict(event)
    if isinstance(event, events.Finished):
        plain["best"] = event.best and event.best.to_json()
    return plain


def _report_line(report: events.Report) -> str:
    validation = "" if report.validation_loss is None else f"  validation {report.validation_loss:.4f}"
    return (
        f"step {report.step:,}  epoch {report.epoch:.2f}  loss {report.loss:.4f} nats "
        f"{report.loss / math.log(2):.3f} bits{validation}  {report.characters_per_second:,.0f} characters/s  "
        f"{duration(report.elapsed_seconds)}"
    )


def sparkline(values: list[float], width: int) -> str:
    """The last part of a curve as block characters: high is bad."""
    if not values:
        return ""
    bins = min(width, len(values))
    means = [
        sum(part) / len(part)
        for k in range(bins)
        if (part := values[k * len(values) // bins : (k + 1) * len(values) // bins])
    ]
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(_BLOCKS[round((mean - low) / span * (len(_BLOCKS) - 1))] for mean in means)


class _TimeLeft(ProgressColumn):
    """The run knows better than Rich how long it will take."""

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        return Text("" if left is None else f"{duration(left)} left", style="cyan")


class _LiveView:
    """A bar, the figures, the curve of the loss and what the model wrote last."""

    def __init__(self) -> None:
        self.bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.percentage:>3.0f}%"),
            _TimeLeft(), console=err, expand=True,
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
        self.live.stop()
        if self.report:
            note(_report_line(self.report))

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Progress):
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

    def passage(self, step: int, text: str) -> None:
        self.text, self.text_step = text, step

    def render(self) -> Group:
        parts: list[Any] = [self.bar]
        if report := self.report:
            figures = Table.grid(padding=(0, 3))
            loss = Text.assemble(("loss ", "dim"), f"{report.loss:.4f} nats  {report.loss / math.log(2):.3f} bits")
            validation = Text.assemble(("validation ", "dim"), "not yet")
            if self.validation:
                last, best = self.validation[-1], min(self.validation)
                validation = Text.assemble(
                    ("validation ", "dim"),
                    (
                        f"{last:.4f} nats  {last / math.log(2):.3f} bits",
                        "bold green" if last == best else "yellow",
                    ),
                    "" if last == best else f"  best {best:.4f}",
                )
            speed = Text.assemble(f"{report.characters_per_second:,.0f}", (" characters/s", "dim"))
            epoch = Text.assemble(("epoch ", "dim"), f"{report.epoch:.1f}")
            figures.add_row(loss, validation, speed, epoch)
            parts.append(Padding(figures, (0, 0, 0, 2)))
            parts.append(Padding(Text(sparkline(self.losses, max(10, err.width - 4)), style="blue"), (0, 0, 0, 2)))
        if self.text:
            lines = [line[: err.width - 4] for line in self.text.strip("\n").splitlines()]
            height = max(3, err.height - 7)
            parts.append(Padding(Text(f"the model after {self.text_step:,} steps:", style="dim"), (1, 0, 0, 2)))
            parts.append(Padding(Text("\n".join(lines[:height]), style="italic", no_wrap=True), (0, 0, 0, 2)))
        return Group(*parts)


# --- the other commands -------------------------------------------------------------------------------------------


def show_score(score: Score, what: str, skipped: int) -> None:
    """The figures of an evaluation."""
    table = Table.grid(padding=(0, 2))
    table.add_row("loss", f"{score.loss:.4f}", "nats per character")
    table.add_row("perplexity", f"{score.perplexity:.4f}", "")
    table.add_row("", f"{score.bits_per_character:.4f}", "bits per character")
    table.add_row("", f"{score.bits_per_byte:.4f}", "bits per byte")
    table.add_row(
        "characters",
        f"{score.characters:,}",
        f"scored of {what}" + (f", {skipped:,} skipped" if skipped else ""),
    )
    out.print(table)


@contextmanager
def scoring_bar(characters: int) -> Iterator[Callable[[Score], None]]:
    """A function to tell of the score so far; a bar on a terminal."""
    columns = (
        TextColumn("scoring"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("scoring", total=characters)
        yield lambda score: bar.update(task, completed=score.characters)


def show_corpora(corpora: list[NamedCorpus]) -> None:
    """The named corpora."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "bytes", "licence", "at hand", "what it is"):
        table.add_column(heading, justify="right" if heading == "bytes" else "left")
    for corpus in corpora:
        at_hand = "yes" if corpus.at_hand else f"no, {corpus.download_size:,} bytes to fetch"
        table.add_row(corpus.name, f"{corpus.bytes():,}", corpus.licence, at_hand, corpus.about)
    out.print(table)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A spinner on a terminal while something takes its time."""
    if err.is_terminal:
        with err.status(text):
            yield
    else:
        yield


@contextmanager
def download_bar() -> Iterator[Any]:
    """A function to tell of bytes that came: `tell(name, done, total)`."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
        transient=True,
    ) as bar:
        tasks: dict[str, Any] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"fetching {name}", total=total)
            bar.update(tasks[name], completed=done)

        yield tell


def silence_stdout() -> None:
    """The reader has gone (`| head`): what is still buffered must not raise at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
