"""Members predict together: the mean of their probabilities, against NumPy and member by member."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.inspection.trace import trace
from charlstm.language_model import LanguageModel
from charlstm.model.counts import RECENT
from charlstm.model.members import mean_log_p, merge, name_tensors, zero_states
from charlstm.model.parameters import abstract_model, initial_parameters
from charlstm.model.pool import beside, mix, zero_reading
from charlstm.runs.tensors import load_tensors, save_tensors
from charlstm.runs.weights import fingerprint, load_weights, save_weights
from charlstm.sampling.completion import Completer
from charlstm.training.ngrams import count


def random_parameters(model: ModelConfig, seed: int):
    """Parameters of which no tensor is zero."""
    fresh, numbers = initial_parameters(model, seed), np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + numbers.normal(0, 0.5, leaf.shape).astype(np.float32), fresh)


@pytest.fixture(scope="module")
def model(corpus, weights_of):
    """A model of two members that differ, with counts beside them."""
    V = len(corpus.vocabulary)
    shape = ModelConfig(vocabulary_size=V, layers=1, hidden_size=5, embedding_size=4, dropout=0.0, members=2)
    weights = weights_of(shape, corpus.vocabulary, tuple(random_parameters(shape, seed) for seed in range(2)))
    return LanguageModel(dataclasses.replace(weights, counts=count(corpus.ids, np.arange(V) % 2 > 0)))


def test_the_mean_of_probabilities_is_numpys_and_sums_to_one(numbers):
    logits = numbers.normal(0, 4, (3, 5, 2, 7))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = np.asarray(mean_log_p([*jnp.asarray(logits, np.float32)]))
    np.testing.assert_allclose(found, np.log(p.mean(0)), rtol=2e-5)
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("rare", [0, 3])
def test_windows_and_steps_of_members_are_the_mean_of_those_of_each(rare, numbers):
    shape = ModelConfig(
        vocabulary_size=11, layers=2, hidden_size=6, embedding_size=5, dropout=0.0, rare=rare, members=2
    )
    definition, _ = abstract_model(shape)
    params = tuple(random_parameters(shape, seed) for seed in range(2))
    network, alone = merge(definition, params), [merge(definition, each) for each in params]
    ids = jnp.asarray(numbers.integers(0, 11, (4, 3)), jnp.int32)
    logits, states = network(ids, zero_states(shape, 3))
    each = [one(ids, start)[0] for one, start in zip(alone, zero_states(shape, 3), strict=True)]
    p = np.mean([np.asarray(jax.nn.softmax(one), np.float64) for one in each], axis=0)
    np.testing.assert_allclose(np.exp(logits), p, atol=1e-6)
    for tables in (network.gate_table(), None):
        stepped = zero_states(shape, 3)
        for now in ids:
            of_all, stepped = network.step(now, stepped, tables)
        of_rare = np.repeat(p[-1, :, -1:] / max(1, rare), rare, axis=-1)
        np.testing.assert_allclose(np.exp(of_all), np.append(p[-1, :, : 11 - rare], of_rare, axis=-1), atol=1e-6)
        for one, other in zip(jax.tree.leaves(stepped), jax.tree.leaves(states), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_counts_are_mixed_with_the_mean(model, corpus):
    # Their weights follow from the entropy of the mean: no other order of mixing and averaging gives this.
    weights, ids = model.weights, jnp.asarray(corpus.ids[:9], jnp.int32)
    shape, counts, tables = weights.model.for_inference(), weights.counts, None
    definition, _ = abstract_model(shape)
    network, states = merge(definition, weights.params), zero_states(shape, 1)
    together, reading = beside(network, counts), zero_reading(shape, counts, 1)
    for now in ids[:, None]:
        own, states = network.step(now, states, tables)
        mixed, reading = together.step(now, reading, tables)
    recent = np.append(np.zeros(RECENT - len(ids), np.int32), ids + 1)[None].astype(np.int32)
    np.testing.assert_allclose(np.exp(mixed), np.exp(mix(counts, own, recent)), atol=1e-6)
    np.testing.assert_allclose(np.exp(np.asarray(mixed[0], np.float64)).sum(), 1, atol=1e-5)


def test_what_reads_a_text_averages_the_members(model, text_file):
    alone = LanguageModel(model.weights.alone)
    members = [LanguageModel(alone.weights.member(k)) for k in range(2)]
    nats = np.array([[each.nats for each in one.per_character(text_file)] for one in members])
    expected = -np.log(np.exp(-nats).mean(0))
    found = [each.nats for each in alone.per_character(text_file)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(alone.evaluate(text_file, exact=True).loss, np.nanmean(expected), atol=1e-5)
    (of_file,) = alone.evaluate_files(text_file, exact=True).scores
    np.testing.assert_allclose(of_file.loss, np.nanmean(expected), atol=1e-5)
    assert alone.evaluate(text_file).loss < min(one.evaluate(text_file).loss for one in members)


def test_what_samples_averages_the_members(model, corpus):
    alone, V = LanguageModel(model.weights.alone), len(corpus.vocabulary)
    prompt = "The salt "
    each = [dict(LanguageModel(alone.weights.member(k)).next_characters(prompt, V)) for k in range(2)]
    expected = {symbol: np.mean([one[symbol] for one in each]) for symbol in each[0]}
    assert dict(alone.next_characters(prompt, V)) == pytest.approx(expected, abs=1e-6)
    (sample,) = alone.samples(prompt, length=1, temperature=1.0, min_p=0.0, seed=4)
    assert sample.log_probabilities == pytest.approx([np.log(expected[sample.pieces[0]])], abs=1e-4)
    first = max(expected, key=lambda symbol: expected[symbol])
    assert alone.sample(prompt, length=1, temperature=0.0) == first


def test_a_state_of_members_is_saved_and_goes_on(model, tmp_path):
    state = model.read("The salt road ")
    state.save(tmp_path / "state")
    loaded = model.load_state(tmp_path / "state")
    there, here = (model.next_characters("runs", 5, state=each) for each in (loaded, state))
    assert there == here == model.next_characters("The salt road runs", 5)


def test_completions_rest_on_the_mean(model):
    # What the search is told behind one more character is what is next after it.
    alone = LanguageModel(model.weights.alone)
    states = [np.asarray(leaf)[0] for leaf in jax.tree.leaves(alone.read("The salt roa").states)]
    logs, _ = Completer(alone.weights).expand([states], [int(alone.vocabulary.encode("d")[0])])
    expected = dict(alone.next_characters("The salt road", len(alone.vocabulary)))
    for symbol, log in zip(alone.vocabulary.symbols, logs[0], strict=True):
        assert np.exp(log) == pytest.approx(expected[symbol], abs=1e-6)


def test_a_file_holds_all_members_and_tells_what_is_missing(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, model.weights)
    loaded = load_weights(path)
    assert fingerprint(loaded) == fingerprint(model.weights) != fingerprint(model.weights.member(0))
    tensors, header = load_tensors(path)
    assert set(name_tensors(model.weights.params)) < set(tensors) and "members.1.layers.0.bias" in tensors
    for broken in ({"members.1.layers.0.bias": None}, {"members.2.head_bias": tensors["members.0.head_bias"]}):
        changed = {name: tensor for name, tensor in (tensors | broken).items() if tensor is not None}
        save_tensors(path, changed, header)
        with pytest.raises(RunError, match=next(iter(broken))):
            load_weights(path)


def test_what_looks_inside_takes_the_first(model, corpus):
    found, expected = (next(trace(weights, corpus.ids[:20])) for weights in (model.weights, model.weights.member(0)))
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(one, other)
