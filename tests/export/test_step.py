"""The exported step: onnxruntime, which knows nothing of this program, against the network and against the textbook."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.language_model import LanguageModel
from charlstm.model.network import zero_states
from charlstm.model.parameters import abstract_model, initial_parameters, is_gate_kernel, map_named
from charlstm.text.vocabulary import Vocabulary

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

LENGTH = 1000
SHAPES = [*itertools.product(["lstm", "gru", "rnn"], [1, 2])]


@pytest.fixture
def model_of(weights_of):
    """A function that makes a model of random weights, none of them zero: in a fresh one the head is."""

    def make(symbols: int = 12, rare: int = 0, embedding_size: int = 8, **changes) -> LanguageModel:
        shape = ModelConfig(
            vocabulary_size=symbols, rare=rare, hidden_size=10, embedding_size=embedding_size, dropout=0.3, **changes
        )
        numbers = np.random.default_rng(5)

        def some(name: str, leaf: jax.Array) -> jax.Array:  # with larger kernels a rounding error would grow
            scale = 2 if name == "head_kernel" else 0.3 if is_gate_kernel(name) else 1
            return jnp.asarray(scale * numbers.normal(size=leaf.shape), jnp.float32)

        params = map_named(some, initial_parameters(shape, 0))
        vocabulary = Vocabulary("".join(map(chr, range(97, 97 + symbols))), rare=rare)
        return LanguageModel(weights_of(shape, vocabulary, params))

    return make


def exported(model: LanguageModel, path, **options):
    """What onnxruntime makes of the model."""
    model.export_onnx(path, **options)
    onnx.checker.check_model(str(path), full_check=True)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), settings)


def run(session, ids: np.ndarray, hidden_size: int) -> np.ndarray:
    """Probabilities `[T, S, V]` of what follows each of `ids` `[T, S]`, the state carried."""
    outputs = [each.name for each in session.get_outputs()]
    states = {
        each.name: np.zeros((ids.shape[1], hidden_size), np.float32)
        for each in session.get_inputs()
        if each.name != "ids"
    }
    steps = []
    for each in ids:
        out = dict(zip(outputs, session.run(None, states | {"ids": each}), strict=True))
        steps.append(out["probabilities"])
        states = {name: out[f"new_{name}"] for name in states}
    return np.stack(steps)


def by_the_network(model: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """The same by the scan that trains and evaluates, rows of rare symbols shared out."""
    shape = model.config.model
    network = nnx.merge(abstract_model(shape)[0], model.weights.params)
    logits = jax.jit(lambda ids: network(ids, zero_states(shape, ids.shape[1]))[0])(jnp.asarray(ids))
    of_rows = np.asarray(jax.nn.softmax(logits))
    if not shape.rare:
        return of_rows
    return np.concatenate([of_rows[..., :-1], np.repeat(of_rows[..., -1:] / shape.rare, shape.rare, -1)], -1)


@pytest.mark.parametrize(("cell", "layers"), SHAPES)
def test_a_thousand_characters_have_the_same_probabilities(model_of, tmp_path, numbers, cell, layers):
    model = model_of(cell=cell, layers=layers)
    ids = numbers.integers(0, 12, (LENGTH, 3))
    session = exported(model, tmp_path / "m.onnx")
    found, expected = run(session, ids, 10), by_the_network(model, ids)
    assert found.shape == (LENGTH, 3, 12) and found.max() > 0.7 and np.abs(found.sum(-1) - 1).max() < 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(run(session, ids[:, 1:2], 10), expected[:, 1:2], rtol=1e-4)


def test_rare_symbols_share_a_row_with_a_large_vocabulary_looked_up_before_it_is_multiplied(
    model_of, tmp_path, numbers
):
    model = model_of(symbols=60, rare=20, embedding_size=2, cell="lstm", layers=1)
    ids = numbers.integers(0, 60, (LENGTH, 2))
    session = exported(model, tmp_path / "m.onnx")
    names = {each.name for each in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert "gate_table" not in names and "embedding" in names
    found = run(session, ids, 10)
    np.testing.assert_allclose(found, by_the_network(model, ids), rtol=1e-4)
    assert (found[..., 40:] == found[..., 40:41]).all() and np.abs(found.sum(-1) - 1).max() < 1e-6


def test_an_id_that_no_symbol_has_is_refused(model_of, tmp_path):
    for rare in (0, 4):
        session = exported(model_of(rare=rare, cell="gru", layers=1), tmp_path / f"{rare}.onnx")
        with pytest.raises(Exception, match="out of data bounds"):
            run(session, np.array([[12]]), 10)


def test_eight_bits_are_a_quarter_of_the_size_and_nearly_the_same(model_of, tmp_path, numbers):
    model = model_of(cell="lstm", layers=2)
    ids = numbers.integers(0, 12, (100, 1))
    whole, small = (exported(model, tmp_path / f"{int8}.onnx", int8=int8) for int8 in (False, True))
    weights = [
        sum(onnx.numpy_helper.to_array(each).nbytes for each in onnx.load(tmp_path / f"{int8}.onnx").graph.initializer)
        for int8 in (False, True)
    ]
    assert weights[1] < 0.4 * weights[0], "biases and scales stay as they are"
    distance = np.abs(run(whole, ids, 10) - run(small, ids, 10)).sum(-1) / 2
    assert 0 < distance.mean() < 0.02
