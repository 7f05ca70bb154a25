"""The journal of a run, its cadence, and the clock that makes minutes into steps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm import journal
from charlstm.journal import Cadence, Clock, Journal
from charlstm.optimizer import Schedule
from charlstm.score import Score


@given(st.integers(1, 10**6), st.integers(1, 10**5), st.integers(0, 10**7))
def test_a_cadence_validates_and_reports_and_ends_in_time(total, per_step, validation):
    cadence = Cadence.of(total, per_step, validation)
    assert 1 <= cadence.report <= total and 1 <= cadence.validate <= total
    assert cadence.characters <= validation


def test_validation_takes_a_small_share_of_a_long_run():
    cadence = Cadence.of(10_000, 4096, 1_000_000)
    read = cadence.characters * (10_000 // cadence.validate)
    assert read / 3 <= 0.07 * 10_000 * 4096  # scoring a character costs a third of training on it


@given(st.floats(0.1, 5), st.integers(1, 1000))
def test_a_journal_survives_its_json(loss, step):
    before = Journal(
        Schedule(1e-3, 10, 100, 20, 0.3), Cadence(2, 5, 100), step, 0.1 + loss, 3, loss, Score(loss, 7, 7, 0.1)
    )
    assert Journal.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_the_best_validation_is_remembered_and_the_others_counted():
    book = Journal(Schedule(1e-3, 1, 100), Cadence(1, 1, 10))
    verdicts = [book.is_best(Score(nats, 1, 1)) for nats in (3.0, 2.0, 2.5, 2.1, 1.9)]
    assert verdicts == [True, True, False, False, True]
    assert book.best and book.best.loss == 1.9 and book.validations_since_best == 0


def test_no_step_is_made_past_what_is_due():
    book = Journal(Schedule(1e-3, 1, 23), Cadence(4, 10, 10))
    stops = []
    while not book.finished:
        book.step += book.steps_until_due()
        stops.append(book.step)
    assert stops == [4, 8, 10, 12, 16, 20, 23]


def test_minutes_become_steps_at_the_speed_that_was_measured(monkeypatch):
    now = 100.0
    monkeypatch.setattr(journal.time, "perf_counter", lambda: now)
    clock = Clock(0.0, 60.0)
    now += 5.0  # compiling
    assert clock.estimate_due and clock.steps_in_budget(1) is None
    now += 5.0  # 50 steps in 5 seconds: 50 seconds are left
    assert clock.steps_in_budget(51) == pytest.approx(51 + 500, abs=2)
    now += 10.0
    clock.pause(10.0)  # a validation: it comes again, so time for another one is kept free
    now += 5.0
    assert clock.steps_in_budget(101) == pytest.approx(101 + (60 - 25 - 12) * 10, abs=2)


def test_a_resumed_clock_goes_on_where_it_stood(monkeypatch):
    monkeypatch.setattr(journal.time, "perf_counter", lambda: 7.0)
    assert Clock(12.5, 60.0).elapsed() == 12.5
