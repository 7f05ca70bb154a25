"""Dynamic evaluation against a naive loop of its rule, and against standing still."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.evaluation.dynamic import PIECE, Adapter, Rule
from charlstm.evaluation.static import score_text
from charlstm.model.loss import cross_entropy
from charlstm.model.network import CharRNN, zero_states
from charlstm.model.parameters import map_named, to_tensors
from charlstm.runs.weights import Weights
from charlstm.text.vocabulary import Vocabulary

MODEL = ModelConfig(vocabulary_size=4, layers=1, hidden_size=8, embedding_size=4, dropout=0.0)
DEFINITION = nnx.split(CharRNN(MODEL, nnx.Rngs(0)), nnx.Param)[0]
HEAD = ("head_kernel", "head_bias")
VOCABULARY = Vocabulary.of_characters("abcd")


@pytest.fixture(scope="module")
def weights(weights_of) -> Weights:
    network = CharRNN(MODEL, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(jax.random.key(1), (8, 4))
    return weights_of(MODEL, VOCABULARY, nnx.state(network, nnx.Param))


@pytest.fixture(scope="module")
def adapter(weights) -> Adapter:
    return Adapter.measured(weights, np.random.default_rng(0).integers(0, 4, 3000).astype(np.uint8))


@pytest.fixture(scope="module")
def exact(adapter) -> Adapter:
    return dataclasses.replace(adapter, exact=True)


@jax.jit
def gradient_of(w, states, inputs, targets):
    """The gradient of a segment's nats, `[T, S]`, for every 20 characters; the nats, and the states after it."""

    def loss(w):
        logits, after = nnx.merge(DEFINITION, w)(inputs, states)
        nats = cross_entropy(logits, targets)
        return nats.sum() / 20, (nats, after)

    return jax.grad(loss, has_aux=True)(w)


def moved(w, g, adapter: Adapter, rule: Rule, pieces: int = 1):
    """The rule, weight by weight, in NumPy's float64."""

    def one(w, g, scale, pull, w_0):
        w, g, scale, pull, w_0 = (np.asarray(x, np.float64) for x in (w, g, scale, pull, w_0))
        after = w - rule.rate * g * scale + np.minimum(1, pieces * rule.decay * pull) * (w_0 - w)
        return jnp.array(after, jnp.float32)

    return jax.tree.map(one, w, g, adapter.scale, adapter.pull, adapter.saved.params)


@pytest.mark.parametrize("count", [1500, 20_000])
@pytest.mark.parametrize("is_exact", [True, False])
def test_a_reader_that_learns_nothing_scores_as_the_exact_one(adapter, weights, numbers, is_exact, count):
    ids = numbers.integers(0, 4, count).astype(np.uint8)
    score = dataclasses.replace(adapter, exact=is_exact).score_text(ids, Rule(0.0, 0.0))
    one = score_text(weights, ids, streams=1)
    assert score.characters == one.characters and score.loss == pytest.approx(one.loss, abs=1e-6)
    assert score.standard_error == pytest.approx(one.standard_error, rel=1e-3)


def test_the_rule_is_that_of_the_paper(exact, weights, numbers):
    ids = numbers.integers(0, 4, 110).astype(np.uint8)
    rule = Rule(1e-2, 0.05)
    w, states, expected = weights.params, zero_states(MODEL, 1), []
    for start in range(0, 109, PIECE):
        end = min(start + PIECE, 109)
        inputs, targets = jnp.array(ids[start:end, None]), jnp.array(ids[start + 1 : end + 1, None])
        g, (nats, states) = gradient_of(w, states, inputs, targets)
        expected += nats[:, 0].tolist()
        w = moved(w, g, exact, rule)
    np.testing.assert_allclose(exact.predict(ids, rule).nats, expected, rtol=1e-5)
    for learned, one in zip(jax.tree.leaves(exact.learn(ids, rule).params), jax.tree.leaves(w), strict=True):
        np.testing.assert_allclose(learned, one, rtol=1e-5, atol=1e-6)


def test_the_head_learns_after_each_piece_and_all_else_after_a_segment(adapter, weights, numbers):
    """Each piece begins with the state in which the saved weights come there."""
    ids, rule = numbers.integers(0, 4, 8192 + 16 * PIECE + 1).astype(np.uint8), Rule(1e-2, 0.02)
    read = jax.jit(nnx.merge(DEFINITION, weights.params))
    w, expected, saved_states = weights.params, [], [zero_states(MODEL, 1)]
    for place in range(0, len(ids) - 1, PIECE):
        saved_states.append(read(jnp.array(ids[place : place + PIECE, None]), saved_states[-1])[1])
    state, place = saved_states[0], 0
    while place < len(ids) - 1:
        pieces = 1 if place < 2048 else 4 if place < 8192 else 16
        now, total = w, jax.tree.map(jnp.zeros_like, w)
        for _ in range(pieces):
            before = state if pieces == 1 else saved_states[place // PIECE]
            inputs, targets = (jnp.array(ids[place + n : place + n + PIECE, None]) for n in (0, 1))
            g, (nats, state) = gradient_of(now, before, inputs, targets)
            expected += nats[:, 0].tolist()
            head = to_tensors(moved(now, g, adapter, rule))
            now = map_named(lambda name, leaf, head=head: head[name] if name in HEAD else leaf, now)
            total = jax.tree.map(jnp.add, total, g)
            place += PIECE
        rest = to_tensors(moved(w, total, adapter, rule, pieces))
        w = map_named(lambda name, leaf, rest=rest: leaf if name in HEAD else rest[name], now)
    np.testing.assert_allclose(adapter.predict(ids, rule).nats, expected, rtol=1e-3)
    for learned, one in zip(jax.tree.leaves(adapter.learn(ids, rule).params), jax.tree.leaves(w), strict=True):
        np.testing.assert_allclose(learned, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("is_exact", [True, False])
def test_no_prediction_knows_what_comes_behind_it(adapter, numbers, is_exact):
    reader, rule = dataclasses.replace(adapter, exact=is_exact), Rule(1e-2, 0.05)
    ids = numbers.integers(0, 4, 12_000).astype(np.uint8)
    before = reader.predict(ids, rule)
    for place in (1, 700, 2047, 2048, 5001, 8192, 8200, 11_999):
        other = ids.copy()
        other[place] = (ids[place] + 1) % 4
        after = reader.predict(other, rule)  # of character n the nats stand at n - 1
        np.testing.assert_array_equal(before.nats[: place - 1], after.nats[: place - 1])
        np.testing.assert_array_equal(before.entropies[:place], after.entropies[:place])
        assert before.nats[place - 1] != after.nats[place - 1]
        assert (before.nats[place:] != after.nats[place:]).any() == (place < 11_999)


def test_the_rms_is_that_of_segments_of_twenty_characters(weights, numbers):
    """Of a model that predicts as well as can be, gradients of characters are independent, and their squares add up."""
    fair = jax.tree.map(jnp.zeros_like, weights.params)  # predicts 4 symbols at random, as they come
    ids = numbers.integers(0, 4, 60_000).astype(np.uint8)
    adapter = Adapter.measured(dataclasses.replace(weights, params=fair), ids)
    hot = np.eye(4)[ids[1:]].reshape(-1)[: 59_980 * 4].reshape(-1, 20, 4)
    rms = np.sqrt((((0.25 - hot).mean(1)) ** 2).mean(0))  # of the head's bias
    mean = rms.sum() / sum(x.size for x in jax.tree.leaves(adapter.pull))  # of all others it is 0
    np.testing.assert_allclose(adapter.pull["head_bias"][...], rms / mean, rtol=0.15)
    np.testing.assert_allclose(adapter.scale["head_bias"][...], 4 / (rms + 0.1 * mean), rtol=0.15)
    np.testing.assert_allclose(adapter.scale["head_kernel"][...], 4 / (0.1 * mean), rtol=0.15)
    np.testing.assert_allclose(adapter.scale["embedding"][...], 1 / (0.1 * mean), rtol=0.15)


def test_a_strange_pattern_is_picked_up_and_the_saved_weights_stay(adapter, weights):
    before = jax.tree.map(np.array, weights.params)
    ids = np.tile(np.array([0, 3, 1, 1, 2], np.uint8), 400)
    standing, learning = (adapter.score_text(ids, Rule(rate, 0.0)) for rate in (0.0, 1e-2))
    assert learning.loss < 0.5 * standing.loss
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(adapter.saved.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pieces_are_read_one_by_one_where_a_text_repeats_itself_at_once(adapter, monkeypatch):
    rule = Rule(1e-2, 0.0)
    monkeypatch.setattr(Adapter, "tune", lambda *_: rule)
    numbers = np.random.default_rng(5)
    # Four symbols in turn, in an order that changes after 320 characters, which are fewer than are read at once.
    repeats = np.concatenate([np.tile(numbers.permutation(4), 80) for _ in range(40)]).astype(np.uint8)
    for ids, is_one_by_one in ((repeats, True), (numbers.integers(0, 4, 12_800).astype(np.uint8), False)):
        reader, found = adapter.tuned(ids)
        assert (reader.exact, found) == (is_one_by_one, rule)


def test_tuning_finds_the_best_of_the_rules_it_tries(adapter):
    ids = np.tile(np.array([0, 3, 1, 1, 2], np.uint8), 200)
    assert adapter.tune(ids, rates=(0.0, 1e-2), decays=(0.0, 0.5)) == Rule(1e-2, 0.0)


@pytest.mark.parametrize("count", [1, 2, 1500, 12_000])
def test_predictions_are_the_score_character_by_character(adapter, numbers, count):
    ids, rule = numbers.integers(0, 4, count).astype(np.uint8), Rule(1e-2, 0.0)
    predictions, told = adapter.predict(ids, rule), list[int]()
    assert predictions.nats.shape == predictions.entropies.shape == (count - 1,)
    score = adapter.score_text(ids, rule, told.append)
    assert predictions.nats.astype(float).sum() == pytest.approx(score.nats, rel=1e-6)
    assert (predictions.entropies > 0).all() and (predictions.entropies < np.log(4) + 1e-6).all()
    assert score.characters == (told or [0])[-1] == count - 1
