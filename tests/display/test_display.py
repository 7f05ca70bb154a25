"""What people see, on screens of any width."""

import dataclasses
import io

import pytest
from rich.console import Console

from charlstm.display import bars
from charlstm.display.console import count
from charlstm.display.watcher import _LiveView, sparkline
from charlstm.events import Report

REPORT = Report(
    step=1000, epoch=5.1, characters=1_000_000, loss=1.4717, validation_loss=1.4398, learning_rate=1e-3,
    gradient_norm=0.1, characters_per_second=16_458.0, elapsed_seconds=61.0,
)  # fmt: skip


@pytest.mark.parametrize("best", [1.4398, 1.3000])
@pytest.mark.parametrize("width", [1, 20, 36, 76, 96, 200])
def test_the_figures_are_one_line_that_begins_with_the_most_important(width, best):
    view = _LiveView()
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


def test_a_bar_has_a_share_only_where_the_end_is_known(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(bars, "err", Console(file=screen, force_terminal=True, width=80))
    with bars.Bars() as show:
        show("reading the text")
        show.refresh()
        assert "reading the text" in screen.getvalue() and "%" not in screen.getvalue()
        show("scoring", 30, 120)
        show.refresh()
        assert "scoring" in screen.getvalue() and "25%" in screen.getvalue()


def test_a_bar_in_a_pipe_is_silent(monkeypatch):
    pipe = io.StringIO()
    monkeypatch.setattr(bars, "err", Console(file=pipe, width=80))
    with bars.Bars() as show:
        show("scoring", 30, 120)
    assert pipe.getvalue() == ""
