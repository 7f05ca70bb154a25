"""Scores: units that agree, sums that do not drift, and an honest standard error."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.evaluation.tally import Tally
from charlstm.score import Score


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
        tally.add(block, np.full(1000, 512, np.float32), 512_000)
    score = tally.score()
    assert score.characters == 1_024_000_000
    assert math.isclose(score.loss, float(np.float32(512 * 1.1)) / 512, rel_tol=1e-12)


BLOCKS = st.lists(st.tuples(st.integers(1, 600), st.floats(0.01, 8)), min_size=2, max_size=30)


@given(BLOCKS, st.integers(1, 29))
def test_sums_and_standard_error_are_those_of_the_formula_however_blocks_arrive(blocks, cut):
    """Cochran's ratio estimator, written out; blocks without characters are none."""
    characters = np.array([n for n, _ in blocks])
    nats = np.array([n * loss for n, loss in blocks])
    tally = Tally()
    tally.add(nats[:cut], characters[:cut], 5)
    tally.add(np.zeros(3), np.zeros(3), 0)
    tally.add(nats[cut:], characters[cut:], 6)
    score = tally.score()

    loss = sum(nats) / sum(characters)
    squares = sum((x - loss * n) ** 2 for n, x in zip(characters, nats, strict=True))
    error = math.sqrt(squares / (len(blocks) - 1) * len(blocks)) / sum(characters)
    assert (score.characters, score.utf8_bytes, tally.characters) == (sum(characters), 11, sum(characters))
    assert score.loss == pytest.approx(loss)
    # The sums of squares cancel where all blocks are alike: seven digits of the loss is what is left.
    assert score.standard_error == pytest.approx(error, rel=1e-6, abs=1e-6 * loss)


def test_a_hopeless_model_has_a_perplexity_that_is_a_number():
    assert math.isfinite(Score(1e9, 1, 1).perplexity)


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
