"""GRU and plain RNN against the textbook in float64 NumPy and Flax's cells, and what all three cells have in common."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import compiled_for
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import GATES, ModelConfig
from charlstm.model.cells import CELLS
from charlstm.model.gru import gru_scan
from charlstm.model.network import CharRNN, zero_states
from charlstm.model.parameters import count_parameters, initial_parameters, to_tensors
from charlstm.model.rnn import HiddenState, rnn_scan
from charlstm.model.scan import reference_scan

pytestmark = [pytest.mark.optimized, pytest.mark.usefixtures("strict_types")]

# With eight streams units come first in memory, otherwise streams do.
SIZES = st.tuples(st.integers(1, 5), st.sampled_from([1, 3, 8]), st.integers(1, 4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_in_numpy(inputs, kernel, bias, hidden):
    (r, z, n), (from_r, from_z, from_n) = np.split(inputs, 3, 1), np.split(hidden @ kernel + bias, 3, 1)
    r, z = sigmoid(r + from_r), sigmoid(z + from_z)
    return (1 - z) * np.tanh(n + r * from_n) + z * hidden


def rnn_in_numpy(inputs, kernel, bias, hidden):
    return np.tanh(inputs + hidden @ kernel + bias)


TEXTBOOK = {"gru": gru_in_numpy, "rnn": rnn_in_numpy}


def problem(cell: str, T: int, B: int, H: int, seed: int = 0):
    """Gate inputs, kernel, bias and state, and weights that make one number of outputs and state."""
    random, G = np.random.default_rng(seed), GATES[cell] * H
    arrays = [random.normal(size=shape) for shape in ((T, B, G), (H, G), (G,), (B, H))]
    return arrays, random.normal(size=(T + 1, B, H))


def total_in_numpy(cell, arrays, weights):
    inputs, kernel, bias, hidden = arrays
    total = 0.0
    for t in range(len(inputs)):
        hidden = TEXTBOOK[cell](inputs[t], kernel, bias, hidden)
        total += (weights[t] * hidden).sum()
    return total + (weights[-1] * hidden).sum()


def slope_in_numpy(cell, arrays, weights, number):
    """The gradient by one of the arrays, by central differences."""
    found = np.zeros(arrays[number].size)
    for place in range(found.size):
        for side in (1, -1):
            moved = [each.copy() for each in arrays]
            moved[number].flat[place] += side * 1e-5
            found[place] += side * total_in_numpy(cell, moved, weights) / 2e-5
    return found.reshape(arrays[number].shape)


@pytest.mark.parametrize("form", ["fast", "fast, for a GPU", "reference"])
@pytest.mark.parametrize("cell", ["gru", "rnn"])
@given(SIZES, st.lists(st.integers(0, 1000), min_size=2, max_size=2))
@settings(max_examples=4)  # each is compiled once, and solves two problems
def test_all_scans_are_the_textbook_in_value_and_all_gradients(cell, form, sizes, seeds):
    def total(inputs, kernel, bias, hidden, weights):
        scan = partial(reference_scan, CELLS[cell].cell) if form == "reference" else CELLS[cell].scan
        outputs, last = scan(inputs, kernel, HiddenState(hidden), bias=bias)
        return (weights[:-1] * outputs).sum() + (weights[-1] * last.hidden).sum()

    computed = jax.jit(jax.value_and_grad(total, (0, 1, 2, 3)))
    for seed in seeds:
        arrays, weights = problem(cell, *sizes, seed)
        with compiled_for("gpu" if "GPU" in form else "cpu"):
            value, gradients = computed(*(jnp.float32(each) for each in (*arrays, weights)))
        np.testing.assert_allclose(value, total_in_numpy(cell, arrays, weights), rtol=1e-4, atol=1e-4)
        for number, gradient in enumerate(gradients):
            np.testing.assert_allclose(gradient, slope_in_numpy(cell, arrays, weights, number), rtol=2e-3, atol=2e-4)


def test_flax_computes_the_same_gru(numbers):
    H, D, B = 5, 3, 2
    flax = nnx.GRUCell(D, H, rngs=nnx.Rngs(0))
    x, hidden = (jnp.float32(numbers.normal(size=shape)) for shape in ((B, D), (B, H)))
    expected, _ = flax(hidden, x)
    inputs = x @ flax.dense_i.kernel[...] + flax.dense_i.bias[...][None]
    _, ours = gru_scan(inputs[None], flax.dense_h.kernel[...], HiddenState(hidden))
    np.testing.assert_allclose(ours.hidden, expected, atol=1e-6)


def test_flax_computes_the_same_rnn(numbers):
    H, D, B = 5, 3, 2
    flax = nnx.SimpleCell(D, H, rngs=nnx.Rngs(0))
    x, hidden = (jnp.float32(numbers.normal(size=shape)) for shape in ((B, D), (B, H)))
    expected, _ = flax(hidden, x)
    inputs = x @ flax.dense_i.kernel[...] + flax.dense_i.bias[...][None]
    _, ours = rnn_scan(inputs[None], flax.dense_h.kernel[...], HiddenState(hidden))
    np.testing.assert_allclose(ours.hidden, expected, atol=1e-6)


def test_an_open_update_gate_carries_the_hidden_state_unchanged(numbers):
    T, B, H = 200, 8, 4
    hidden = np.float32(numbers.normal(size=(B, H)))
    inputs = jnp.broadcast_to(jnp.repeat(jnp.array([0.0, 50.0, 0.3]), H), (T, B, 3 * H))
    _, last = gru_scan(inputs, jnp.zeros((H, 3 * H)), HiddenState(jnp.array(hidden)))
    np.testing.assert_array_equal(last.hidden, hidden)


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize(("B", "backend"), [(3, "cpu"), (8, "cpu"), (8, "gpu")])
def test_bfloat16_stays_near_float32(cell, B, backend, numbers):
    T, H, G = 10, 32, GATES[cell] * 32
    inputs, kernel = (jnp.float32(numbers.normal(size=shape) * 0.2) for shape in ((T, B, G), (H, G)))
    weights = jnp.float32(numbers.normal(size=(T, B, H)))

    def computed(precision):
        def total(inputs, kernel, bias):
            outputs, _ = CELLS[cell].scan(inputs, kernel, CELLS[cell].zeros(B, H), precision, bias)
            return (outputs * weights).sum(), outputs

        gradients, outputs = jax.grad(total, (0, 1, 2), has_aux=True)(inputs, kernel, jnp.zeros(G))
        return outputs, *gradients

    with compiled_for(backend):
        both = computed(jnp.float32), computed(jnp.bfloat16)
    for exact, rounded in zip(*both, strict=True):
        assert rounded.dtype == jnp.float32
        assert np.linalg.norm(exact - rounded) < 0.02 * np.linalg.norm(exact)
        assert not np.array_equal(exact, rounded)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_a_network_of_any_cell_reads_a_window_as_its_single_steps_do(cell):
    model = ModelConfig(cell=cell, vocabulary_size=7, layers=2, hidden_size=6, embedding_size=4, dropout=0.0)
    network = CharRNN(model, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(jax.random.key(1), (6, 7))
    for layer in network.layers:
        if cell == "gru":
            layer.recurrent_bias[...] = jax.random.normal(jax.random.key(2), layer.recurrent_bias.shape)
    ids = jax.random.randint(jax.random.key(3), (9, 3), 0, 7)
    logits, last = network(ids, zero_states(model, 3))
    states = zero_states(model, 3)
    for t in range(9):
        stepped, insides = network.step_inside(ids[t], states, network.gate_table())
        states = tuple(inside.state for inside in insides)
        np.testing.assert_allclose(stepped, logits[t], atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(states), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_the_gates_that_the_settings_know_are_those_of_the_cell(cell):
    model = ModelConfig(cell=cell, vocabulary_size=7, layers=2, hidden_size=6, embedding_size=4, dropout=0.0)
    tensors = to_tensors(initial_parameters(model, 0))
    assert GATES[cell] == CELLS[cell].cell.gates
    assert tensors["layers.1.recurrent_kernel"].shape == (6, GATES[cell] * 6)
    assert ("layers.0.recurrent_bias" in tensors) == (cell == "gru")
    assert count_parameters(model) == sum(each.size for each in tensors.values())
