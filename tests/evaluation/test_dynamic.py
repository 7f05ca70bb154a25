"""Dynamic evaluation against a naive loop of its rule, and against standing still."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.evaluation.dynamic import SEGMENT, Adapter, Rule
from charlstm.evaluation.static import score_text
from charlstm.model.loss import cross_entropy
from charlstm.model.network import CharRNN, zero_states
from charlstm.runs.weights import Weights
from charlstm.text.vocabulary import Vocabulary

MODEL = ModelConfig(vocabulary_size=4, layers=1, hidden_size=8, embedding_size=4, dropout=0.0)
VOCABULARY = Vocabulary.of_characters("abcd")


@pytest.fixture(scope="module")
def weights(weights_of) -> Weights:
    network = CharRNN(MODEL, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(jax.random.key(1), (8, 4))
    return weights_of(MODEL, VOCABULARY, nnx.state(network, nnx.Param))


@pytest.fixture(scope="module")
def adapter(weights) -> Adapter:
    return Adapter.measured(weights, np.random.default_rng(0).integers(0, 4, 3000).astype(np.uint8))


def test_a_reader_that_learns_nothing_scores_as_the_exact_one(adapter, weights, numbers):
    ids = numbers.integers(0, 4, 1500).astype(np.uint8)
    score = adapter.score_text(ids, Rule(0.0, 0.0))
    exact = score_text(weights, ids, streams=1)
    assert score.characters == exact.characters and score.loss == pytest.approx(exact.loss, abs=1e-6)


def test_the_rule_is_that_of_the_paper(adapter, weights, numbers):
    ids = numbers.integers(0, 4, 75).astype(np.uint8)
    rule = Rule(1e-2, 0.05)
    definition = nnx.split(CharRNN(MODEL, nnx.Rngs(0)), nnx.Param)[0]

    def loss(w, states, inputs, targets):
        logits, states = nnx.merge(definition, w)(inputs[:, None], states)
        nats = cross_entropy(logits, targets[:, None]).sum()
        return nats / SEGMENT, (nats, states)

    w, states, nats = weights.params, zero_states(MODEL, 1), 0.0
    for start in range(0, 74, SEGMENT):
        end = min(start + SEGMENT, 74)
        inputs, targets = jnp.array(ids[start:end]), jnp.array(ids[start + 1 : end + 1])
        g, (more, states) = jax.grad(loss, has_aux=True)(w, states, inputs, targets)
        nats += float(more)
        w = jax.tree.map(lambda w, g, s, w_0: w - 1e-2 * g * s + 0.05 * (w_0 - w), w, g, adapter.scale, weights.params)
    assert adapter.score_text(ids, rule).nats == pytest.approx(nats, rel=1e-5)


def test_a_strange_pattern_is_picked_up_and_the_saved_weights_stay(adapter, weights):
    before = jax.tree.map(np.array, weights.params)
    ids = np.tile(np.array([0, 3, 1, 1, 2], np.uint8), 400)
    standing, learning = (adapter.score_text(ids, Rule(rate, 0.0)) for rate in (0.0, 1e-2))
    assert learning.loss < 0.5 * standing.loss
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(adapter.saved.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tuning_finds_the_best_of_the_rules_it_tries(adapter):
    ids = np.tile(np.array([0, 3, 1, 1, 2], np.uint8), 200)
    assert adapter.tune(ids, rates=(0.0, 1e-2), decays=(0.0, 0.5)) == Rule(1e-2, 0.0)


def test_predictions_are_the_score_character_by_character(adapter, numbers):
    ids, rule = numbers.integers(0, 4, 1500).astype(np.uint8), Rule(1e-2, 0.0)
    predictions = adapter.predict(ids, rule)
    assert predictions.nats.shape == predictions.entropies.shape == (1499,)
    assert predictions.nats.astype(float).sum() == pytest.approx(adapter.score_text(ids, rule).nats, rel=1e-6)
    assert (predictions.entropies > 0).all() and (predictions.entropies < np.log(4) + 1e-6).all()
