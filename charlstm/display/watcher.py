"""Watching a run: JSON lines, nothing, a live view, or a plain line for each report."""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from statistics import fmean
from typing import Any

from rich.text import Text

from charlstm import events
from charlstm.config import to_dict
from charlstm.display.bars import Bars
from charlstm.display.console import as_flag, command, count, duration, err, nats, note, on_terminal, result, write_json
from charlstm.display.live import LiveView
from charlstm.display.remarks import describe, remarks, report_line
from charlstm.errors import StorageError, worded
from charlstm.options import format_schedule

_NAMES: dict[type, str] = {events.NotSaved: "not_saved", events.RolledBack: "rolled_back"}


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
        self.live = LiveView() if _is_live(as_json, quiet) else None
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
                    describe(event)
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
        for remark in remarks(event):
            note(remark)
        if self.live:
            self.live.show(event)
        elif not self.quiet:
            if isinstance(event, events.Compiling):
                note("compiling ...")
            if isinstance(event, events.Counting):
                note("counting n-grams ...")
            if isinstance(event, events.Report):
                note(report_line(event))

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
