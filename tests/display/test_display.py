"""What people see, on screens of any width."""

import dataclasses
import io
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from charlstm.display import bars, console, live, watcher
from charlstm.display.console import _Console, count, note
from charlstm.display.live import LiveView
from charlstm.display.sparkline import sparkline
from charlstm.display.tables import show_score
from charlstm.display.visible import visible
from charlstm.display.watcher import Watcher
from charlstm.errors import StorageError
from charlstm.events import NotSaved, Report, Saved
from charlstm.score import Evaluation

REPORT = Report(
    step=1000, epoch=5.1, characters=1_000_000, loss=1.4717, validation_loss=1.4398, learning_rate=1e-3,
    gradient_norm=0.1, characters_per_second=16_458.0, elapsed_seconds=61.0,
)  # fmt: skip


@pytest.mark.parametrize("best", [1.4398, 1.3000])
@pytest.mark.parametrize("width", [1, 20, 36, 76, 96, 200])
def test_the_figures_are_one_line_that_begins_with_the_most_important(width, best):
    view = LiveView()
    view.show(dataclasses.replace(REPORT, validation_loss=best))
    view.show(REPORT)
    line = view._figures(REPORT, width).plain
    assert line.startswith("loss 1.4717 nats") and (len(line) <= width or line == "loss 1.4717 nats")
    assert ("validation 1.4398 nats" in line) == (width >= 76)
    assert ("2.123 and 2.077 bits" in line) == (width == 200)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 steps"), (1, "1 step"), (1.0, "1 step"), (0.5, "0.5 steps"), (2400, "2,400 steps")]
)
def test_one_is_singular(number, text):
    assert count(number, "step") == text


def test_a_curve_shows_what_comes_after_the_fast_beginning():
    losses = [1.1 + 2 * (step + 1) ** -0.5 for step in range(100)]
    curve = sparkline(losses, 80)
    assert curve.startswith("█" * 8) and set(curve[8:]) == set("▁▂▃▄▅▆▇█")


@pytest.mark.parametrize(("losses", "curve"), [([], ""), ([2.0], "▁"), ([2.0, 2.0], "▁▁"), ([3.0, 2.0], "█▁")])
def test_a_short_curve_is_drawn_too(losses, curve):
    assert sparkline(losses, 80) == curve


class Terminal(io.StringIO):
    """A terminal that remembers what it was told."""

    def isatty(self) -> bool:
        return True


def test_a_bar_has_a_share_only_where_the_end_is_known(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(bars, "err", Console(file=screen, force_terminal=True, width=80))
    with bars.Bars() as show:
        show("reading the text")
        show.refresh()
        assert "reading the text" in screen.getvalue() and "%" not in screen.getvalue()
        show("scoring", 30, 120)
        show.refresh()
        assert "scoring" in screen.getvalue() and "25%" in screen.getvalue()


COLOURS = [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}, {"TTY_INTERACTIVE": "1"}]


@pytest.mark.parametrize("variables", COLOURS, ids=str)
def test_a_file_holds_no_bars_no_frames_and_no_wrapped_lines_whatever_is_coloured(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    err = _Console(stderr=True)
    for module in (bars, console, watcher):
        monkeypatch.setattr(module, "err", err)
    with bars.Bars() as show:
        show("scoring", 30, 120)
    assert file.getvalue() == ""
    assert watcher.Watcher(as_json=False, quiet=False).live is None
    note("word " * 100)
    assert file.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "is_live"),
    [({}, True), ({"FORCE_COLOR": ""}, False), ({"TTY_COMPATIBLE": "0"}, False), ({"TERM": "dumb"}, False)],
    ids=str,
)
def test_a_terminal_is_live_unless_it_cannot_be(monkeypatch, variables, is_live):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(watcher, "err", _Console(stderr=True))
    assert (watcher.Watcher(as_json=False, quiet=False).live is not None) == is_live


@given(st.text(st.characters(exclude_characters="\t")))  # Rich makes spaces of tabs
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_printed_is_the_text_made_visible_and_nothing_else(monkeypatch, text):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    note(text)
    assert file.getvalue() == visible(text) + "\n"


@pytest.mark.parametrize("width", [60, 120])
def test_no_frame_reaches_the_margin_but_with_its_bar(monkeypatch, width):
    monkeypatch.setattr(live, "err", Console(file=Terminal(), force_terminal=True, width=width, height=40))
    view = LiveView()
    view.show(REPORT)
    view.sample(20, "word " * 100)
    lines = live.err.render_lines(view.render(), pad=False)
    assert all(sum(segment.cell_length for segment in line) <= width - 2 for line in lines[2:])


def test_foreign_text_in_a_table_is_no_markup_and_no_command(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    show_score(Evaluation(1.0, 10, 10, 0.1, "a[red]b\x1b[2J.txt", 0, {}))
    assert "scored of a[red]b␛[2J.txt" in file.getvalue()


def test_the_live_view_shows_what_the_model_writes_and_does_not_obey_it(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(live, "err", Console(file=screen, force_terminal=True, width=60, height=40))
    view = LiveView()
    view.sample(20, "one\x1b[2Jtwo\r\n\x9bthree\u202e")
    with live.err.capture() as captured:
        live.err.print(view.render())
    assert "one␛[2Jtwo" in captured.get() and "\\x9bthree\\u202e" in captured.get()
    assert "\x1b[2J" not in captured.get() and "\r" not in captured.get()


def test_training_goes_on_where_events_cannot_be_written_and_says_so_once(monkeypatch, capsys):
    errors = iter([BrokenPipeError(), StorageError("standard output is closed")])

    def fail(_event: object) -> None:
        if error := next(errors, None):
            raise error

    monkeypatch.setattr(watcher, "write_json", fail)
    show = watcher.Watcher(as_json=True, quiet=False)
    for _ in range(4):
        show.sample(1, "text")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "nobody reads standard output any more; training goes on", "standard output is closed; training goes on",
    ]  # fmt: skip
    with pytest.raises(StorageError):
        show.finish()


def test_a_save_that_goes_on_failing_is_said_once_until_it_has_worked(capfd):
    watcher = Watcher(as_json=False, quiet=True)
    for message in ("full", "full", "gone", None, "gone"):
        saved = Saved(step=2, best=False)
        watcher.show(saved if message is None else NotSaved(step=1, message=message))
    err = capfd.readouterr().err
    assert err.count("full") == 1 and err.count("gone") == 2
