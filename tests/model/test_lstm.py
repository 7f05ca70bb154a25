"""The recurrence against the textbook in float64 NumPy, against JAX's own gradients, and against Flax's cell."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import compiled_for
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from charlstm.model.lstm import LSTM, LSTMState, lstm_scan
from charlstm.model.products import project
from charlstm.model.scan import reference_scan

pytestmark = [pytest.mark.optimized, pytest.mark.usefixtures("strict_types")]

SIZES = st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 6))


def problem(T: int, B: int, H: int, seed: int = 0):
    """Gate inputs, recurrent kernel, state, and weights that make one number of outputs and state."""
    random = np.random.default_rng(seed)
    shapes = (T, B, 4 * H), (H, 4 * H), (B, H), (B, H), (T, B, H), (B, H), (B, H)
    gate_inputs, kernel, hidden, cell, *weights = (random.normal(size=shape) for shape in shapes)
    return gate_inputs, kernel, hidden, cell, weights


def textbook(gate_inputs, kernel, hidden, cell, weights):
    """The weighted sum of all outputs and the last state, and its gradients, written out by hand in float64."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    T, H = len(gate_inputs), hidden.shape[1]
    kept, total = [], 0.0
    for t in range(T):
        z = gate_inputs[t] + hidden @ kernel
        i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new_cell = f * cell + i * g
        kept.append((i, f, g, o, hidden, cell, new_cell))
        hidden, cell = o * np.tanh(new_cell), new_cell
        total += (weights[0][t] * hidden).sum()
    total += (weights[1] * hidden).sum() + (weights[2] * cell).sum()

    d_hidden, d_cell = weights[1].copy(), weights[2].copy()
    d_inputs, d_kernel = np.zeros_like(gate_inputs), np.zeros_like(kernel)
    for t in reversed(range(T)):
        i, f, g, o, hidden, cell, new_cell = kept[t]
        d_hidden = d_hidden + weights[0][t]
        shown = np.tanh(new_cell)
        d_cell = d_cell + d_hidden * o * (1 - shown**2)
        d_gates = d_cell * g, d_cell * cell, d_cell * i, d_hidden * shown
        slopes = i * (1 - i), f * (1 - f), 1 - g**2, o * (1 - o)
        d_z = np.concatenate([d_gate * slope for d_gate, slope in zip(d_gates, slopes, strict=True)], axis=1)
        d_inputs[t], d_kernel = d_z, d_kernel + hidden.T @ d_z
        d_hidden, d_cell = d_z @ kernel.T, d_cell * f
    return total, (d_inputs, d_kernel, d_hidden, d_cell)


def weighted(scan, weights, *precision):
    """The same sum as a function of JAX arrays."""

    def total(gate_inputs, kernel, hidden, cell):
        outputs, last = scan(gate_inputs, kernel, LSTMState(hidden, cell), *precision)
        return (weights[0] * outputs).sum() + (weights[1] * last.hidden).sum() + (weights[2] * last.cell).sum()

    return total


@pytest.mark.parametrize("form", ["fast", "fast, for a GPU", "reference"])
@given(SIZES, st.lists(st.integers(0, 1000), min_size=3, max_size=3))
@settings(max_examples=5)  # each is compiled once, and solves three problems
def test_all_scans_are_the_textbook_in_value_and_all_gradients(form, sizes, seeds):
    scan = partial(reference_scan, LSTM) if form == "reference" else lstm_scan

    @jax.jit
    def computed(weights, *arrays):
        return jax.value_and_grad(weighted(scan, weights), (0, 1, 2, 3))(*arrays)

    for seed in seeds:
        *arrays, weights = problem(*sizes, seed)
        value, gradients = textbook(*arrays, weights)
        with compiled_for("gpu" if "GPU" in form else "cpu"):
            found, found_gradients = computed([jnp.float32(w) for w in weights], *(jnp.float32(a) for a in arrays))
        np.testing.assert_allclose(found, value, rtol=2e-4, atol=2e-4)
        for theirs, ours in zip(found_gradients, gradients, strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=2e-3, atol=2e-4)


def test_a_gpu_stores_nothing_for_its_own_sake_and_makes_several_time_steps_in_a_round():
    *arrays, weights = problem(16, 2, 4)
    for backend, barriers, rounds in (("cpu", True, "unroll=1"), ("gpu", False, "unroll=8")):
        with compiled_for(backend):
            program = str(jax.make_jaxpr(jax.grad(weighted(lstm_scan, weights), (0, 1)))(*map(jnp.float32, arrays)))
        assert ("optimization_barrier" in program) == barriers
        assert program.count(rounds) == program.count("unroll=") == 2


def test_the_written_out_gradient_is_that_of_finite_differences():
    *arrays, _ = problem(3, 2, 4)
    gate_inputs, kernel, hidden, cell = (jnp.float32(a) for a in arrays)

    def scan(*arrays):
        gate_inputs, kernel, hidden, cell = (jnp.array(a) for a in arrays)
        return lstm_scan(gate_inputs, kernel, LSTMState(hidden, cell))

    check_grads(scan, (gate_inputs, kernel, hidden, cell), 1, ["rev"], 1e-2, 1e-2)


def test_bfloat16_stays_near_float32():
    # A product of 32 terms rounded to 8 bits is off by about 2^-9 sqrt(32) of its size; ten steps add up.
    *arrays, weights = problem(10, 4, 32)
    gate_inputs, kernel, hidden, cell = (jnp.float32(a * 0.2) for a in arrays)
    weights = [jnp.float32(w) for w in weights]

    def computed(precision):
        outputs, _ = lstm_scan(gate_inputs, kernel, LSTMState(hidden, cell), precision)
        gradients = jax.grad(weighted(lstm_scan, weights, precision), (0, 1, 2, 3))
        return outputs, *gradients(gate_inputs, kernel, hidden, cell)

    for exact, rounded in zip(computed(jnp.float32), computed(jnp.bfloat16), strict=True):
        assert rounded.dtype == jnp.float32
        assert np.linalg.norm(exact - rounded) < 0.02 * np.linalg.norm(exact)
        assert not np.array_equal(exact, rounded)


def test_flax_computes_the_same_cell(numbers):
    H, D, B = 5, 3, 2
    cell = nnx.OptimizedLSTMCell(D, H, rngs=nnx.Rngs(0))
    x, hidden, state = (jnp.float32(numbers.normal(size=shape)) for shape in ((B, D), (B, H), (B, H)))
    (new_cell, new_hidden), _ = cell((jnp.array(state), jnp.array(hidden)), jnp.array(x))
    inputs = x @ cell.dense_i.kernel[...] + cell.dense_h.bias[...][None]
    _, ours = lstm_scan(inputs[None], cell.dense_h.kernel[...], LSTMState(jnp.array(hidden), jnp.array(state)))
    np.testing.assert_allclose(ours.hidden, new_hidden, atol=1e-6)
    np.testing.assert_allclose(ours.cell, new_cell, atol=1e-6)


def test_an_open_forget_gate_and_a_shut_input_gate_carry_the_cell_unchanged(numbers):
    T, B, H = 200, 2, 4
    gates = jnp.repeat(jnp.array([-50.0, 50.0, 0.3, 0.0]), H)
    cell = np.float32(numbers.normal(size=(B, H)))
    inputs = jnp.broadcast_to(gates, (T, B, 4 * H))
    _, last = lstm_scan(inputs, jnp.zeros((H, 4 * H)), LSTMState(jnp.zeros((B, H)), jnp.array(cell)))
    np.testing.assert_array_equal(last.cell, cell)


def test_gates_stay_between_shut_and_open_however_hard_they_are_pushed(numbers):
    # So a time step lets at most 1 onto the belt, and shows at most 1 of it; nothing overflows, not even a gradient.
    T, B, H = 50, 4, 8
    inputs = jnp.float32(numbers.normal(size=(T, B, 4 * H)) * 10.0 ** numbers.integers(0, 6, (T, 1, 1)))
    kernel = jnp.float32(numbers.normal(size=(H, 4 * H)) * 30)

    def total(inputs, kernel):
        outputs, last = lstm_scan(inputs, kernel, LSTMState.zeros(B, H))
        return outputs.sum() + last.cell.sum(), (outputs, last.cell)

    gradients, (outputs, cell) = jax.grad(total, (0, 1), has_aux=True)(inputs, kernel)
    assert np.abs(outputs).max() <= 1 and np.abs(cell).max() <= T
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@given(SIZES)
@settings(max_examples=8)
def test_two_windows_with_carried_state_are_one_long_window(sizes):
    T, B, H = sizes
    gate_inputs, kernel, hidden, cell, _ = problem(2 * T, B, H)
    inputs, kernel = jnp.float32(gate_inputs), jnp.float32(kernel)
    start = LSTMState(jnp.float32(hidden), jnp.float32(cell))
    first, middle = lstm_scan(inputs[:T], kernel, start)
    second, last = lstm_scan(inputs[T:], kernel, middle)
    whole, end = lstm_scan(inputs, kernel, start)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-6)
    np.testing.assert_allclose(last.cell, end.cell, atol=1e-6)


def test_project_is_a_product_with_the_gradients_of_a_product(numbers):
    x, kernel = jnp.float32(numbers.normal(size=(3, 2, 4))), jnp.float32(numbers.normal(size=(4, 5)))
    weights = np.float32(numbers.normal(size=(3, 2, 5)))
    ours = jax.grad(lambda x, k: (project(x, k, jnp.float32) * weights).sum(), (0, 1))(x, kernel)
    plain = jax.grad(lambda x, k: ((x @ k) * weights).sum(), (0, 1))(x, kernel)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
