"""What is said of a run in plain lines: at its start, of each report, and where something must be said."""

import math
from collections.abc import Iterator

from charlstm import events
from charlstm.display.console import as_flag, count, duration, note
from charlstm.errors import worded


def describe(event: events.Started) -> None:
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
    if training.average_every:
        note(f"local steps in each process, averaged every {count(training.average_every, 'step')}")
    for each in event.notes:
        note(worded(each, as_flag))


def remarks(event: events.Event) -> Iterator[str]:
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
        case events.Lost():
            yield f"{event.reason}; training goes on without it, and without its 1/{event.processes} of the text"
        case _:
            pass


def report_line(report: events.Report) -> str:
    """One line for a report."""
    validation = "" if report.validation_loss is None else f"  validation {report.validation_loss:.4f}"
    return (
        f"step {report.step:,}  epoch {report.epoch:.2f}  loss {report.loss:.4f} nats "
        f"{report.loss / math.log(2):.3f} bits{validation}  {report.characters_per_second:,.0f} characters/s  "
        f"{duration(report.elapsed_seconds)}"
        + (f"  {report.skipped:,} steps skipped: not finite" if report.skipped else "")
    )
