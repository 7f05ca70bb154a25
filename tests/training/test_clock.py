"""The clock that makes minutes into steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.training import clock as clocks
from charlstm.training.clock import Clock


def test_minutes_become_steps_at_the_speed_that_was_measured(monkeypatch):
    now = 100.0
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(clocks.time, name, lambda: now)
    clock = Clock(0.0, 60.0)
    now += 5.0  # compiling
    assert clock.estimate_due and clock.steps_in_budget(1) is None
    now += 5.0  # 50 steps in 5 seconds: 50 seconds are left
    assert clock.steps_in_budget(51) == pytest.approx(51 + 500, abs=2)
    now += 10.0
    clock.pause(10.0)  # a validation: it comes again, so time for another one is kept free
    now += 5.0
    assert clock.steps_in_budget(101) == pytest.approx(101 + (60 - 25 - 12) * 10, abs=2)


@given(st.floats(0.01, 2), st.floats(0, 30), st.floats(1, 600), st.sampled_from([0.0, 5.0, 700.0]))
def test_a_run_at_a_steady_pace_ends_with_its_budget(pace, compiling, seconds, measuring):
    now = 0.0
    with pytest.MonkeyPatch.context() as patched:
        for name in ("perf_counter", "process_time"):
            patched.setattr(clocks.time, name, lambda: now)
        clock = Clock(measuring, seconds)
        now += compiling
        step, total = 1, 10**6
        while step < total:
            if clock.estimate_due:
                total = clock.steps_in_budget(step) or total
            now += pace
            step += 1
    # The first estimate waits for a milestone, 3% of the time at most, and a run makes one step more at least.
    assert seconds - 2 * pace <= measuring + now <= max(seconds, measuring + compiling) + 3 * pace


@pytest.mark.parametrize("slowdown", [0.5, 0.8, 1.25, 2.0])
def test_a_machine_that_changes_its_pace_ends_in_time_all_the_same(monkeypatch, slowdown):
    now = 0.0
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(clocks.time, name, lambda: now)
    clock = Clock(0.0, 100.0)
    step, total, asked = 1, 10**9, 0
    while step < total:
        if clock.estimate_due:
            asked += 1
            total = clock.steps_in_budget(step) or total
        now += 0.05 if now < 60 else 0.05 * slowdown
        step += 1
    assert now == pytest.approx(100, rel=0.05)
    assert asked < 10  # each waits for the device


def test_without_a_budget_a_clock_plans_no_steps(monkeypatch):
    now = 0.0
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(clocks.time, name, lambda: now)
    clock = Clock(0.0, None)
    now = 5.0  # compiling, which says nothing about the pace
    assert clock.estimate_due and clock.steps_in_budget(1) is None and not clock.estimate_due
    now = 15.0
    assert clock.steps_in_budget(11) is None
    progress = clock.progress(11, 31)
    assert progress.fraction == pytest.approx(15 / 35) and progress.seconds_left == pytest.approx(20.0)


def test_progress_never_exceeds_the_whole(monkeypatch):
    now = 0.0
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(clocks.time, name, lambda: now)
    clock = Clock(0.0, 60.0)
    now = 70.0  # compiling took longer than all there was
    assert clock.progress(0, 0).fraction == 1.0 and clock.progress(0, 0).seconds_left == 0.0


def test_a_resumed_clock_goes_on_where_it_stood(monkeypatch):
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(clocks.time, name, lambda: 7.0)
    assert Clock(12.5, 60.0).elapsed() == 12.5


def test_the_clock_stands_still_while_the_process_is_stopped_or_the_machine_sleeps(monkeypatch):
    wall = worked = 100.0
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: wall)
    monkeypatch.setattr(clocks.time, "process_time", lambda: worked)
    clock = Clock(7.0, 60.0)
    wall, worked = wall + 5, worked + 9  # two cores at work
    assert clock.elapsed() == 12
    wall, worked = wall + 3600, worked + 0.25
    assert clock.elapsed() == 12.25
    wall += 1  # a moment of waiting is time
    assert clock.elapsed() == 13.25


def test_a_clock_that_went_back_estimates_soon_and_from_there(monkeypatch):
    now = 0.0
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(clocks.time, name, lambda: now)
    clock = Clock(0.0, 100.0)
    now = 5.0
    assert clock.estimate_due and clock.steps_in_budget(1) is None
    now = 97.0
    assert clock.estimate_due and clock.steps_in_budget(93)
    assert not clock.estimate_due, "all milestones are past"
    clock.go_back(50)
    now = 98.0
    assert clock.estimate_due and clock.steps_in_budget(51) == 53, "a step a second, and two are left"
