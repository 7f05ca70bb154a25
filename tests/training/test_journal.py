"""The journal of a run, and its cadence."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charlstm.score import Score
from charlstm.training.collected import Collected
from charlstm.training.journal import Cadence, Journal
from charlstm.training.optimizer import Schedule


def costs_at_most_6_percent(scored: int, trained: int) -> bool:
    """Whether scoring costs 6% of training; a character scored costs a third of one trained on. Exact: in integers."""
    return 100 * scored <= 6 * 3 * trained


@given(st.integers(1, 10**6), st.integers(1, 10**5), st.integers(0, 10**7))
def test_a_cadence_validates_and_reports_and_ends_in_time(total, per_step, validation):
    cadence = Cadence.of(total, per_step, validation)
    assert 1 <= cadence.report <= total and 1 <= cadence.validate <= total
    assert cadence.characters <= validation


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(2, 10**8))
def test_more_than_one_validation_is_made_only_where_it_costs_at_most_6_percent(total, per_step, validation):
    cadence = Cadence.of(total, per_step, validation)
    validations = math.ceil(total / cadence.validate)  # the last step is followed by one, whatever its number
    assert 1 <= validations <= 20 and math.ceil(total / cadence.report) <= 200
    assert validations == 1 or costs_at_most_6_percent(validations * cadence.characters, total * per_step)
    assert cadence.characters == validation or cadence.characters >= 50_000  # a beginning long enough to tell by


@example(44, 50, 44)  # nine validations are 6% to the last character
@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(2, 10**6))
def test_the_characters_that_validations_are_of_can_be_given(total, per_step, characters):
    cadence = Cadence.of(total, per_step, 10**8, characters)
    validations = math.ceil(total / cadence.validate)
    assert cadence.characters == characters
    assert validations == 1 or costs_at_most_6_percent(validations * characters, total * per_step)


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(0, 10**6), st.integers(1, 1000))
def test_reports_and_validations_can_be_had_after_a_multiple_of_some_steps_only(total, per_step, validation, every):
    often, seldom = (Cadence.of(total, per_step, validation, every=steps) for steps in (1, every))
    for least, found in ((often.report, seldom.report), (often.validate, seldom.validate)):
        assert found % every == 0 and least <= found < least + every
    assert seldom.characters == often.characters


@given(st.floats(0.1, 5), st.integers(1, 1000))
def test_a_journal_survives_its_json(loss, step):
    before = Journal(
        Schedule(1e-3, 10, 1000, 20, 0.3), Cadence(2, 5, 100), step, 0.1 + loss, 3, loss, Score(loss, 7, 7, 0.1)
    )
    assert Journal.from_dict(json.loads(json.dumps(before.to_dict()))) == before


def test_the_best_validation_is_remembered_and_the_others_counted():
    book = Journal(Schedule(1e-3, 1, 100), Cadence(1, 1, 10))
    seen = []
    for book.step, nats in enumerate((3.0, 2.0, 2.5, 2.1, 1.9)):
        seen.append((book.note_validation(Score(nats, 1, 1)), book.best_step, book.validations_since_best))
    assert seen == [(True, 0, 0), (True, 1, 0), (False, 1, 1), (False, 1, 2), (True, 4, 0)]
    assert book.best and book.best.loss == 1.9


def test_a_loss_that_is_not_known_yet_survives_its_json():
    after = Journal.from_dict(json.loads(json.dumps(Journal(Schedule(1e-3, 10)).to_dict())))
    assert math.isnan(after.loss) and (after.cadence, after.best, after.step) == (None, None, 0)


def test_an_interval_ends_with_its_mean_and_the_next_one_begins_at_nothing():
    book = Journal(Schedule(1e-3, 1, 100))
    book.add(Collected(6.0, 2, 0.5, 1))
    book.add(Collected(4.0, 3, 0.25, 1, 2))
    assert (book.clipped, book.skipped, book.gradient_norm) == (2, 2, 0.25)
    book.close_interval()
    assert (book.loss, book.clipped, book.skipped) == (2.0, 0, 0)
    book.add(Collected(1.0, 1))
    book.close_interval()
    assert book.loss == 1.0
    book.add(Collected(0.0, 0, skipped=3))
    book.close_interval()
    assert math.isnan(book.loss) and book.skipped_lately == pytest.approx(2 - 0.3 - 0.1 + 3)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_everything_due_falls_on_a_stop_and_the_last_step_is_reported(total, report, validate, characters):
    book = Journal(Schedule(1e-3, 1, total), Cadence(report, validate, characters))
    stops = []
    while not book.finished:
        book.step += book.steps_until_due()
        stops.append((book.step, book.report_due, book.validation_due))
    scored = characters > 1  # a single character has none before it
    for step in range(1, total + 1):
        validation_due = scored and (step % validate == 0 or step == total)
        report_due = step % report == 0 or step == total or validation_due
        if report_due:
            assert (step, True, validation_due) in stops
    assert stops[-1][0] == total


def test_samples_come_with_every_nth_report_or_never():
    book = Journal(Schedule(1e-3, 1, 100), Cadence(5, 100, 10))
    spoken = []
    for book.step in range(5, 101, 5):
        assert not book.sample_due(0)
        spoken += [book.step] if book.sample_due(4) else []
    assert spoken == [20, 40, 60, 80, 100]


def test_no_step_is_made_past_what_is_due():
    book = Journal(Schedule(1e-3, 1, 23), Cadence(4, 10, 10))
    stops = []
    while not book.finished:
        book.step += book.steps_until_due()
        stops.append(book.step)
    assert stops == [4, 8, 10, 12, 16, 20, 23]
