"""Evaluation: every character once, by one reader or by many."""

import math

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.evaluation import static
from charlstm.evaluation.predictions import Predictions
from charlstm.evaluation.static import Layout, score_text, score_windows
from charlstm.model.loss import cross_entropy
from charlstm.model.network import CharRNN, zero_states
from charlstm.runs.weights import Weights, load_weights
from charlstm.text.vocabulary import Vocabulary

MODEL = ModelConfig(vocabulary_size=5, layers=1, hidden_size=8, embedding_size=4, dropout=0.0)
DEFINITION = nnx.split(CharRNN(MODEL, nnx.Rngs(0)), nnx.Param)[0]
VOCABULARY = Vocabulary.of_characters("abcdж")


@pytest.fixture(scope="module")
def weights(weights_of) -> Weights:
    """Weights that predict something."""
    network = CharRNN(MODEL, nnx.Rngs(0))
    network.head_kernel[...] = 2 * jax.random.normal(jax.random.key(1), (8, 5))
    return weights_of(MODEL, VOCABULARY, nnx.state(network, nnx.Param))


@jax.jit
def one_step(params, states, symbol, following):
    """The nats of the symbol that follows, and the states after this one."""
    logits, states = nnx.merge(DEFINITION, params)(symbol[None, None], states)
    return cross_entropy(logits, following[None, None])[0, 0], states


def naive(weights: Weights, ids: np.ndarray, reset_every: int = 10**9) -> np.ndarray:
    """The nats of every character but the first, one step after the other."""
    start, ids = zero_states(MODEL, 1), ids.astype(np.int32)
    states, nats = start, []
    for place in range(len(ids) - 1):
        if place % reset_every == 0:
            states = start
        cost, states = one_step(weights.params, states, ids[place], ids[place + 1])
        nats.append(float(cost))
    return np.array(nats)


@given(st.integers(1, 20_000), st.integers(1, 40), st.integers(0, 600))
@settings(max_examples=60)
def test_every_character_but_the_first_counts_exactly_once(pairs, streams, warm_up):
    assume(pairs > streams * warm_up)  # as `Layout.of` sees to
    layout = Layout(pairs, streams, warm_up if streams > 1 else 0)
    ids = np.arange(pairs + 1)
    counted = np.zeros(pairs + 1)
    for number in range(-(-layout.length // 64)):
        inputs, targets, mask = layout.window(ids, number)
        np.testing.assert_array_equal(targets, inputs + 1)
        np.add.at(counted, targets, mask)
    assert counted[0] == 0 and (counted[1:] == 1).all()


@given(st.integers(1, 10**9))
def test_warm_ups_are_at_most_a_quarter_of_the_work(pairs):
    layout = Layout.of(pairs, None)
    assert layout.streams * layout.length <= pairs * 4 / 3 + layout.streams


@pytest.mark.parametrize("length", [2, 3, 64, 65, 66, 700])
def test_one_reader_is_the_naive_loop(weights, numbers, length):
    ids = numbers.integers(0, 5, length).astype(np.uint8)
    score = score_text(weights, ids, streams=1)
    expected = naive(weights, ids)
    np.testing.assert_allclose(score.nats, expected.sum(), rtol=1e-5)
    assert score.characters == length - 1
    assert score.utf8_bytes == len("".join(VOCABULARY.symbols[i] for i in ids[1:]).encode())


@pytest.mark.parametrize("streams", [1, 3])
def test_what_each_character_cost_is_found_in_the_order_of_the_text(weights, numbers, streams):
    ids = numbers.integers(0, 5, 2500).astype(np.uint8)
    found = Predictions.empty(2499)
    score = score_text(weights, ids, streams, found=found)
    assert score == score_text(weights, ids, streams)
    np.testing.assert_allclose(found.nats, naive(weights, ids), atol=1e-4)
    # The entropy is the mean of the nats of all five symbols, had they come instead.
    endings = [naive(weights, np.append(ids[:30], symbol).astype(np.uint8))[-1] for symbol in range(5)]
    assert found.entropies[29] == pytest.approx(sum(nats * math.exp(-nats) for nats in endings), rel=1e-4)


def test_many_readers_agree_with_one(trained_run, corpus):
    # A trained model remembers more than a fresh one: which line of the verse it is in, over 75 characters.
    weights = load_weights(trained_run.path)
    ids = np.tile(corpus.ids, 80)
    one, many = (score_text(weights, ids, streams) for streams in (1, None))
    assert Layout.of(len(ids) - 1, None).streams > 8
    assert one.characters == many.characters and one.utf8_bytes == many.utf8_bytes
    assert one.loss < 0.5 and abs(one.loss - many.loss) < 0.0005


@pytest.mark.parametrize("length", [1, 7, 64, 5000])
def test_windows_each_begin_from_zero(weights, numbers, length):
    ids = numbers.integers(0, 5, 1000).astype(np.uint8)
    score = score_windows(weights, ids, length)
    np.testing.assert_allclose(score.nats, naive(weights, ids, length).sum(), rtol=1e-5)
    assert score.characters == 999


@given(st.integers(2, 10**9), st.sampled_from([None, 1, 40]), st.integers(1, 2_000_000))
def test_the_logits_at_once_are_bounded(pairs, streams, rows):
    layout = Layout.of(pairs, streams, rows=rows)
    assert layout.streams * layout.window_length * rows <= static.MAX_LOGITS or layout.window_length == 1
    assert streams or layout.streams * rows <= static.MAX_LOGITS
    if rows <= 4096:
        assert layout == Layout.of(pairs, streams)


@pytest.mark.parametrize("most", [10, 40, 1000])
def test_a_large_vocabulary_is_scored_in_smaller_pieces_to_the_same_score(weights, numbers, monkeypatch, most):
    ids = numbers.integers(0, 5, 1500).astype(np.uint8)
    whole = score_text(weights, ids, 1), score_windows(weights, ids, 70)
    monkeypatch.setattr(static, "MAX_LOGITS", most)
    pieces = score_text(weights, ids, 1), score_windows(weights, ids, 70)
    for one, other in zip(whole, pieces, strict=True):
        assert one.characters == other.characters and one.utf8_bytes == other.utf8_bytes
        assert one.nats == pytest.approx(other.nats, rel=1e-6)


def test_progress_is_told_and_never_runs_backwards(weights, numbers):
    told = []
    ids = numbers.integers(0, 5, 5000).astype(np.uint8)
    score_text(weights, ids, 1, told.append)
    assert told == sorted(told) and told[-1] <= 4999
