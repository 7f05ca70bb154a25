"""Scores: units that agree, sums that do not drift, and an honest standard error."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlstm.score import Score, Tally


@given(st.floats(0.01, 20), st.integers(1, 10**6), st.integers(1, 4))
def test_the_figures_are_one_figure_in_several_units(loss, characters, bytes_each):
    score = Score(loss * characters, characters, bytes_each * characters)
    assert math.isclose(math.log(score.perplexity), score.loss)
    assert math.isclose(score.bits_per_character * math.log(2), score.loss)
    assert math.isclose(score.bits_per_byte * bytes_each, score.bits_per_character)


def test_a_billion_characters_sum_without_drift():
    tally = Tally()
    block = np.full(1000, 512 * 1.1, np.float32)
    for _ in range(2000):
        tally.add(block, np.full(1000, 512), 512_000)
    score = tally.score()
    assert score.characters == 1_024_000_000
    assert math.isclose(score.loss, float(np.float32(512 * 1.1)) / 512, rel_tol=1e-12)


def test_the_standard_error_is_that_of_repeated_experiments(numbers):
    losses, errors = [], []
    for _ in range(400):
        sizes = numbers.integers(1, 20, 50)
        tally = Tally()
        tally.add(numbers.normal(2, 0.5, 50) * sizes, sizes, 0)
        losses.append(tally.score().loss)
        errors.append(tally.score().standard_error)
    # The spread of 400 losses is known to 3.5%; four times that is passed once in 16,000 trials.
    assert abs(np.std(losses) / np.mean(errors) - 1) < 0.14


def test_one_block_has_no_standard_error():
    tally = Tally()
    tally.add(np.array([3.0]), np.array([2]), 2)
    assert math.isnan(tally.score().standard_error) and tally.score().loss == 1.5
