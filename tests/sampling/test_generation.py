"""Sampling text: the right frequencies, the right filters, and nothing that depends on chunks or company."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.model.network import CharRNN, zero_states
from charlstm.sampling import generation, prompt
from charlstm.sampling.filters import Filters, filter_logits, sample_ids
from charlstm.sampling.generation import generate_ids
from charlstm.sampling.prompt import PromptState, next_symbols, read_prompt, read_text
from charlstm.sampling.repetition import LOOK_BACK
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized

MODEL = ModelConfig(vocabulary_size=6, layers=2, hidden_size=8, embedding_size=4, dropout=0.0)
VOCABULARY = Vocabulary.of_characters("\nabcde")
LOGITS = st.sampled_from([2, 5, 12]).flatmap(  # few sizes, as each is compiled
    lambda V: st.lists(st.floats(-8, 8).map(lambda x: round(x, 3)), min_size=V, max_size=V, unique=True)
)


@pytest.fixture(scope="module")
def params() -> nnx.State:
    """Parameters that predict something."""
    network = CharRNN(MODEL, nnx.Rngs(0))
    network.head_kernel[...] = 3 * jax.random.normal(jax.random.key(1), (8, 6))
    return nnx.state(network, nnx.Param)


def after_prompt(params, ids: np.ndarray) -> PromptState:
    recent = np.concatenate([np.full(LOOK_BACK, -1), ids])[-LOOK_BACK:].astype(np.int32)
    return PromptState(*read_prompt(MODEL, params, ids), recent, "")


def sampled(params, length: int, seed: int = 0, streams: int = 1, precision="float32", **settings) -> np.ndarray:
    """Ids `[length, streams]` after the id 1, the first stream with `seed`, each next one with a seed larger by one."""
    filters, seeds = Filters(**settings), range(seed, seed + streams)
    after = [after_prompt(params, np.array([1]))] * streams
    drawn = generate_ids(MODEL, params, after, length, filters, seeds, precision=precision)
    return np.concatenate([each.ids for each in drawn])


@pytest.mark.parametrize("impossible_ones", [0, 1, 300])  # few and many symbols are summed in two ways
def test_characters_come_as_often_as_the_softmax_says(impossible_ones):
    logits, count = np.array([0.0, 1.0, -1.0, 2.0, -3.0], np.float32), 20_000
    uniform = jax.random.uniform(jax.random.key(3), count)
    impossible = np.full(impossible_ones, -np.inf, np.float32)
    table = jnp.tile(np.concatenate([impossible, logits, impossible]), (count, 1))
    found = np.bincount(sample_ids(uniform, table, Filters(temperature=0.7)) - impossible_ones, minlength=5)
    expected = count * np.exp(logits / 0.7) / np.exp(logits / 0.7).sum()
    assert len(found) == 5
    # Chi-square with 4 degrees of freedom is above 23.5 once in 10,000 seeds; this seed is fixed.
    assert ((found - expected) ** 2 / expected).sum() < 23.5


def test_many_streams_sample_from_what_the_model_predicts(params):
    found = np.bincount(sampled(params, 1, seed=3, streams=8192, temperature=1.0)[0], minlength=6)
    expected = 8192 * np.asarray(jax.nn.softmax(read_prompt(MODEL, params, np.array([1]))[1][0]))
    # With 5 degrees of freedom, above 25.8 once in 10,000 seeds.
    assert ((found - expected) ** 2 / expected).sum() < 25.8


@given(LOGITS, st.sampled_from([0, 1, 3, 12]), st.floats(0.05, 1.0))
@settings(max_examples=60)
def test_filters_keep_what_their_definition_says(logits, top_k, top_p):
    values = np.array(logits, np.float32)
    kept = list(np.argsort(-values)[: top_k or None])
    probabilities = np.exp(values[kept].astype(np.float64) - values.max())
    probabilities /= probabilities.sum()
    before = np.concatenate([[0], np.cumsum(probabilities)[:-1]])
    if np.abs(before - top_p).min() < 1e-4:
        return  # a tie that rounding decides
    nucleus = {kept[k] for k in range(len(kept)) if before[k] < top_p}
    found = filter_logits(jnp.array(values)[None], Filters(temperature=1.0, top_k=top_k, top_p=top_p))[0]
    assert set(np.flatnonzero(np.isfinite(found))) == nucleus


@pytest.mark.parametrize(("uniform", "expected"), [(0.0, 1), (1 - 2**-24, 2)], ids=["smallest", "largest"])
def test_no_random_number_draws_what_is_impossible(uniform, expected):
    logits = jnp.array([[-jnp.inf, 0.0, 1.0, -jnp.inf]])
    assert int(sample_ids(jnp.float32([uniform]), logits, Filters(temperature=1.0))[0]) == expected


def test_temperature_zero_is_always_the_most_likely(params):
    assert (sampled(params, 50, seed=1, temperature=0) == sampled(params, 50, seed=2, temperature=0)).all()
    logits = jnp.array([[0.0, 3.0, 1.0]])
    assert int(sample_ids(jnp.float32([0.5]), logits, Filters(temperature=0))[0]) == 1


@pytest.mark.parametrize("temperature", [1e-45, 1e-38, 1e-20, 1e-10, 1e-4])
def test_the_lowest_temperatures_draw_the_most_likely(params, temperature):
    assert (sampled(params, 50, temperature=temperature) == sampled(params, 50, temperature=0)).all()


def test_a_seed_is_a_text_and_another_seed_another(params):
    assert (sampled(params, 200, seed=1) == sampled(params, 200, seed=1)).all()
    assert (sampled(params, 200, seed=1) != sampled(params, 200, seed=2)).any()


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
def test_a_longer_text_begins_with_the_shorter_one(params, length):
    np.testing.assert_array_equal(sampled(params, 400)[:length], sampled(params, length))


@pytest.mark.parametrize(("streams", "precision", "worst"), [(1, "float32", 1), (8, "float32", 1), (8, "bfloat16", 2)])
def test_each_character_is_among_the_most_likely_behind_all_that_came_before(params, streams, precision, worst):
    # 400 characters are four chunks, and eight streams are on two devices: nothing may be forgotten in between.
    text = sampled(params, 400, streams=streams, precision=precision, top_k=2)
    ids = np.concatenate([np.full((1, streams), 1), text])
    network = CharRNN(MODEL, nnx.Rngs(0))
    nnx.update(network, params)
    logits, _ = network(jnp.array(ids[:-1]), zero_states(MODEL, streams))
    rank = (logits > np.take_along_axis(np.asarray(logits), ids[1:, :, None], -1)).sum(-1)
    assert {0, 1} <= set(np.unique(rank)) and rank.max() <= worst and (rank > 1).mean() < 0.02


def test_a_text_may_be_longer_than_an_int32_counts(params, monkeypatch):
    beginnings = lambda first, length, chunk: range(2**31 - chunk, 2**31 + chunk, chunk)  # noqa: E731
    monkeypatch.setattr(generation, "range", beginnings, raising=False)
    assert len(sampled(params, 256)) == 256


def test_what_a_stream_draws_does_not_depend_on_its_company(params):
    alone, together = sampled(params, 150), sampled(params, 150, streams=8)
    assert together.shape == (150, 8)
    np.testing.assert_array_equal(together[:, :1], alone)
    assert len({tuple(column) for column in together.T}) == 8


@pytest.mark.parametrize("length", [1, 3, 256, 257])
def test_a_prompt_is_read_as_if_character_by_character(params, numbers, length):
    ids = numbers.integers(0, 6, length)
    network = CharRNN(MODEL, nnx.Rngs(0))
    nnx.update(network, params)
    logits, states = network(jnp.array(ids)[:, None], zero_states(MODEL, 1))
    found_states, found_logits = read_prompt(MODEL, params, ids)
    np.testing.assert_allclose(found_logits, logits[-1], atol=1e-5)
    np.testing.assert_allclose(found_states[1].cell, states[1].cell, atol=1e-5)


def test_without_a_table_of_gates_the_text_is_the_same(params, monkeypatch):
    text = sampled(params, 200)
    for make in (prompt._make_steps, prompt.make_table):
        make.cache_clear()
    monkeypatch.setattr(prompt, "_MAX_TABLE", 0)
    np.testing.assert_array_equal(text, sampled(params, 200))
    for make in (prompt._make_steps, prompt.make_table):
        make.cache_clear()


def test_the_next_characters_are_the_softmax_of_the_logits_in_order(params, weights_of):
    weights = weights_of(MODEL, VOCABULARY, params)
    after = read_text(weights, "ab")
    found = next_symbols(weights, after, 6)
    logits = np.asarray(read_prompt(MODEL, params, VOCABULARY.encode("ab"))[1][0], np.float64)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [symbol for symbol, _ in found] == [VOCABULARY.symbols[k] for k in np.argsort(-expected)]
    for symbol, probability in found:
        assert probability == pytest.approx(expected[VOCABULARY.symbols.index(symbol)], abs=1e-6)
    assert next_symbols(weights, after, 2) == found[:2]
