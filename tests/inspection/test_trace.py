"""What is seen inside of a model is what the equations say, in float64, of every cell."""

import jax
import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.inspection.trace import BLOCK, trace, trace_streams
from charlstm.model.parameters import initial_parameters, to_tensors
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized

SYMBOLS = "abcdefg"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(params=["lstm", "gru", "rnn"])
def weights(request, weights_of):
    """Two layers of each cell, with biases that are not zero."""
    shape = ModelConfig(
        vocabulary_size=len(SYMBOLS), layers=2, hidden_size=5, embedding_size=3, dropout=0.3, cell=request.param
    )
    random = np.random.default_rng(2)
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * random.normal(size=leaf.shape).astype(np.float32), initial_parameters(shape, 1)
    )
    return weights_of(shape, Vocabulary(SYMBOLS), params)


def textbook(weights, ids):
    """The fields of each layer's `Inside`, name -> `[N, H]`, by loops over time and layers."""
    tensors = {name: np.asarray(tensor, np.float64) for name, tensor in to_tensors(weights.params).items()}
    H, found = weights.model.hidden_size, []
    inputs = tensors["embedding"][ids]
    for number in range(weights.model.layers):
        layer = {name.split(".")[-1]: value for name, value in tensors.items() if f"layers.{number}." in name}
        hidden, cell, rows = np.zeros(H), np.zeros(H), []
        for x in inputs:
            a, b = x @ layer["input_kernel"] + layer["bias"], hidden @ layer["recurrent_kernel"]
            match weights.model.cell:
                case "lstm":
                    i, f, g, o = np.split(a + b, 4)
                    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
                    cell = f * cell + i * g
                    hidden = o * np.tanh(cell)
                    rows.append({"input": i, "forget": f, "candidate": g, "output": o, "cell": cell, "hidden": hidden})
                case "gru":
                    (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b + layer["recurrent_bias"], 3)
                    r, z = sigmoid(ar + br), sigmoid(az + bz)
                    n = np.tanh(an + r * bn)
                    hidden = (1 - z) * n + z * hidden
                    rows.append({"reset": r, "update": z, "candidate": n, "hidden": hidden})
                case _:
                    hidden = np.tanh(a + b)
                    rows.append({"hidden": hidden})
        found.append({name: np.array([row[name] for row in rows]) for name in rows[0]})
        inputs = found[-1]["hidden"]
    return found


def joined(blocks):
    """All blocks of a trace as one."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)


def test_it_is_what_the_equations_say_however_many_blocks_it_takes(weights, numbers):
    ids = numbers.integers(0, len(SYMBOLS), BLOCK + 70)
    seen = joined(trace(weights, ids))
    for inside, expected in zip(seen, textbook(weights, ids), strict=True):
        assert set(inside._fields) == set(expected)
        for name, values in expected.items():
            assert getattr(inside, name).shape == values.shape
            np.testing.assert_allclose(getattr(inside, name), values, atol=2e-5)


def test_it_goes_on_from_a_state(weights, numbers):
    ids = numbers.integers(0, len(SYMBOLS), 60)
    whole, first = joined(trace(weights, ids)), joined(trace(weights, ids[:23]))
    states = tuple(jax.tree.map(lambda leaf: leaf[-1:], inside).state for inside in first)
    rest = joined(trace(weights, ids[23:], states))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(rest), strict=True):
        np.testing.assert_array_equal(a[23:], b)


def test_streams_are_read_side_by_side_and_do_not_meet(weights, numbers):
    ids = numbers.integers(0, len(SYMBOLS), (130, 5))  # blocks of 102
    together = joined(trace_streams(weights, ids))
    for stream in range(5):
        alone = joined(trace(weights, ids[:, stream]))
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[:, stream], b, atol=1e-6)


def test_a_block_is_bounded(weights):
    for insides in trace_streams(weights, np.zeros((700, 3), np.uint8)):
        assert insides[0].hidden.shape[0] * 3 <= BLOCK
    assert sum(len(insides[0].hidden) for insides in trace(weights, np.zeros(1, np.uint8))) == 1
