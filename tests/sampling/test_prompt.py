"""Prompts: read in parts as if by one reader, kept in files, and refused by other models."""

import jax
import numpy as np
import pytest
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.parameters import from_tensors, initial_parameters, to_tensors
from charlstm.sampling import prompt
from charlstm.sampling.prompt import load_state, read, read_prompt, read_text
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized

VOCABULARY = Vocabulary.of_characters("abcdef")
MODEL = ModelConfig(vocabulary_size=6, layers=2, hidden_size=8, embedding_size=4, dropout=0.0)


@pytest.fixture(scope="module")
def params() -> nnx.State:
    tensors = dict(to_tensors(initial_parameters(MODEL, 0)))
    tensors["head_kernel"] = 2 * jax.random.normal(jax.random.key(1), (8, 6))
    return from_tensors(MODEL, tensors, "")


@pytest.fixture
def in_parts(monkeypatch) -> list[bool]:
    """Parts of even short prompts are read in parallel; whether each of them settled."""
    monkeypatch.setattr(prompt, "_PARTS", ((4, 6_000), (2, 2_000)))
    monkeypatch.setattr(prompt, "_PIECE", 5_000)
    settled: list[bool] = []
    read_in_parts = prompt._read_in_parts

    def watched(*arguments):
        found = read_in_parts(*arguments)
        settled.append(found is not None)
        return found

    monkeypatch.setattr(prompt, "_read_in_parts", watched)
    return settled


def one_reader(params, ids: np.ndarray, monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(prompt, "_PARTS", ())
        return read_prompt(MODEL, params, ids)


@pytest.mark.parametrize("length", [2_000, 5_999, 12_345])
def test_parts_find_what_one_reader_finds(params, numbers, in_parts, monkeypatch, length):
    ids = numbers.integers(0, 6, length)
    expected = jax.tree.leaves(one_reader(params, ids, monkeypatch))
    for one, other in zip(jax.tree.leaves(read_prompt(MODEL, params, ids)), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert in_parts and all(in_parts)


def test_what_was_said_first_is_not_forgotten_by_a_network_that_remembers(params, numbers, in_parts, monkeypatch):
    tensors = dict(to_tensors(params))
    for layer in range(2):  # forget gates that are open, input gates almost shut: what lies on the belt stays there
        bias = np.array(tensors[f"layers.{layer}.bias"])
        bias[:8], bias[8:16] = -6, 20
        tensors[f"layers.{layer}.bias"] = bias
    remembering = from_tensors(MODEL, tensors, "")
    ids = numbers.integers(0, 6, 4_500)
    expected = jax.tree.leaves(one_reader(remembering, ids, monkeypatch))
    for one, other in zip(jax.tree.leaves(read_prompt(MODEL, remembering, ids)), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-4)


def test_a_prompt_may_be_read_in_two_goes_and_kept_between_them(params, weights_of, tmp_path):
    weights = weights_of(MODEL, VOCABULARY, params)
    whole = read_text(weights, "abcabcfed" * 70)
    half = read_text(weights, "abcabcfed" * 30)
    half.save(tmp_path / "half.state")
    found = read_text(weights, "abcabcfed" * 40, load_state(tmp_path / "half.state", weights))
    np.testing.assert_array_equal(found.logits, whole.logits)
    for one, other in zip(jax.tree.leaves(found.states), jax.tree.leaves(whole.states), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.recent, whole.recent)


def test_the_last_ids_are_remembered(params, weights_of):
    weights = weights_of(MODEL, VOCABULARY, params)
    short = read(weights, np.array([1, 2, 3], np.uint8))
    assert short.recent[-3:].tolist() == [1, 2, 3] and (short.recent[:-3] == -1).all()
    long = read(weights, np.arange(1000) % 6, short)
    assert long.recent.tolist() == (np.arange(1000) % 6)[-len(long.recent) :].tolist()


def test_a_state_of_another_model_or_what_is_none_is_refused(params, weights_of, tmp_path):
    weights = weights_of(MODEL, VOCABULARY, params)
    other = weights_of(MODEL, VOCABULARY, initial_parameters(MODEL, 5))
    path = tmp_path / "a.state"
    read_text(weights, "abc").save(path)
    with pytest.raises(RunError, match="another model"):
        load_state(path, other)
    from charlstm.runs.weights import save_weights

    save_weights(tmp_path / "weights", weights)
    with pytest.raises(RunError, match="no prompt state"):
        load_state(tmp_path / "weights", weights)
    with pytest.raises(RunError, match="cannot read"):
        load_state(tmp_path / "missing", weights)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="SHA-256"):
        load_state(path, weights)
