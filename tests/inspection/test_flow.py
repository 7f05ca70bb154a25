"""Gradient flow against finite differences in float64, and where the answer is known."""

import math

import jax
import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.inspection import flow
from charlstm.inspection.flow import Flow, measure_flow
from charlstm.model.parameters import from_tensors, initial_parameters, to_tensors

SYMBOLS, UNITS, LAYERS, LAGS = 5, 3, 2, 6


def config(cell: str = "lstm", layers: int = 1, hidden_size: int = UNITS) -> ModelConfig:
    return ModelConfig(
        vocabulary_size=SYMBOLS, layers=layers, hidden_size=hidden_size, embedding_size=4, dropout=0.0,
        cell=cell,  # type: ignore[arg-type]
    )  # fmt: skip


def random_tensors(model: ModelConfig, numbers: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = to_tensors(jax.eval_shape(lambda: initial_parameters(model, 0)))
    return {name: numbers.normal(size=leaf.shape).astype(np.float32) for name, leaf in shapes.items()}


def curve(found: Flow, part: str, layer: int = 1) -> np.ndarray:
    (logs,) = (each.logs for each in found.curves if (each.layer, each.part) == (layer, part))
    return logs


# --- the textbook in NumPy: a state is one vector, [h, c] of the first layer, then of the second ---------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def numpy_step(tensors: dict[str, np.ndarray], state: np.ndarray, symbol: int) -> tuple[np.ndarray, np.ndarray, list]:
    """The state after a symbol, the logits of the next one, and the forget gates."""
    x, total, after, forgets = tensors["embedding"][symbol], np.zeros(UNITS), [], []
    for layer, (h, c) in enumerate(state.reshape(LAYERS, 2, UNITS)):
        kernel = tensors[f"layers.{layer}.input_kernel"], tensors[f"layers.{layer}.recurrent_kernel"]
        i, f, g, o = np.split(x @ kernel[0] + h @ kernel[1] + tensors[f"layers.{layer}.bias"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        x = sigmoid(o) * np.tanh(c)
        total = total + x
        after += [x, c]
        forgets.append(sigmoid(f))
    return np.concatenate(after), total @ tensors["head_kernel"] + tensors["head_bias"], forgets


def numpy_loss(tensors: dict[str, np.ndarray], state: np.ndarray, symbols: np.ndarray) -> float:
    """Nats of the last symbol, after the state and all others."""
    logits = np.zeros(SYMBOLS)
    for symbol in symbols[:-1]:
        state, logits, _ = numpy_step(tensors, state, symbol)
    return float(np.log(np.exp(logits).sum()) - logits[symbols[-1]])


def differences(function, at: np.ndarray, size: float = 1e-5) -> np.ndarray:
    """How a function changes with each number of its argument, `[arguments, ...]`."""
    return np.stack([(function(at + step) - function(at - step)) / (2 * size) for step in size * np.eye(len(at))])


@pytest.fixture
def measured(numbers):
    """A flow through two layers of an LSTM, its weights in float64 and its windows."""
    model = config(layers=LAYERS)
    tensors = random_tensors(model, numbers)
    windows = numbers.integers(0, SYMBOLS, (80, 4))
    found = measure_flow("it", model, from_tensors(model, tensors, "test"), windows, LAGS)
    return found, {name: tensor.astype(np.float64) for name, tensor in tensors.items()}, windows


def test_gradients_are_finite_differences(measured):
    found, tensors, windows = measured
    for window, symbols in enumerate(windows.T):
        state, states = np.zeros(LAYERS * 2 * UNITS), []
        for symbol in symbols[:-1]:
            states.append(state)
            state = numpy_step(tensors, state, symbol)[0]
        for lag in range(1, LAGS + 1):
            ahead = symbols[-1 - lag :]
            gradient = differences(lambda state: numpy_loss(tensors, state, ahead), states[-lag])  # noqa: B023
            for layer, (of_hidden, of_cell) in enumerate(gradient.reshape(LAYERS, 2, UNITS), 1):
                for part, expected in (("hidden", of_hidden), ("cell", of_cell)):
                    norm = math.exp(curve(found, part, layer)[lag - 1, window])
                    assert norm == pytest.approx(np.linalg.norm(expected), rel=2e-3)


def test_growth_is_that_of_products_of_jacobians(measured):
    found, tensors, windows = measured
    rates = []
    for symbols in windows.T:
        state = np.zeros(LAYERS * 2 * UNITS)
        change = np.ones_like(state)
        for place, symbol in enumerate(symbols[:-1]):
            change = change @ differences(lambda state: numpy_step(tensors, state, symbol)[0], state)  # noqa: B023
            state = numpy_step(tensors, state, symbol)[0]
            if place >= 40:  # half of the window was warm-up
                rates.append(math.log(np.linalg.norm(change)))
            change /= np.linalg.norm(change)
    assert found.growth == pytest.approx(np.mean(rates), abs=1e-3)
    assert (found.windows, found.characters) == (4, len(rates))


def test_the_carousel_is_the_product_of_forget_gates(measured):
    found, tensors, windows = measured
    for window, symbols in enumerate(windows.T):
        state, forgets = np.zeros(LAYERS * 2 * UNITS), []
        for symbol in symbols[:-1]:
            state, _, gates = numpy_step(tensors, state, symbol)
            forgets.append(gates)
        for layer in range(LAYERS):
            kept = np.cumprod([gates[layer] for gates in forgets[::-1]], 0)[:LAGS]
            expected = np.sqrt((kept**2).mean(1))
            assert np.exp(curve(found, "carousel", layer + 1)[:, window]) == pytest.approx(expected, rel=1e-4)


# --- where the answer is known --------------------------------------------------------------------------------------


@pytest.mark.parametrize("forget", [0.1, 0.5, 0.99])
def test_a_cell_that_nothing_touches_keeps_its_share(forget, numbers):
    model = config()
    tensors = {name: np.zeros_like(tensor) for name, tensor in random_tensors(model, numbers).items()}
    tensors["layers.0.bias"][UNITS : 2 * UNITS] = math.log(forget / (1 - forget))
    tensors["head_kernel"] += numbers.normal(size=tensors["head_kernel"].shape).astype(np.float32)
    found = measure_flow("it", model, from_tensors(model, tensors, "test"), numbers.integers(0, SYMBOLS, (400, 2)), 128)
    lags = np.arange(1, 129)[:, None]
    assert curve(found, "carousel") == pytest.approx(lags * math.log(forget) + np.zeros((1, 2)), rel=1e-5)
    cell = curve(found, "cell")
    assert cell - cell[:1] == pytest.approx((lags - 1) * math.log(forget) + np.zeros((1, 2)), rel=1e-4)
    assert found.growth == pytest.approx(math.log(forget), rel=1e-5)  # 0.1^128 = 1e-128 is no float32
    assert np.isneginf(curve(found, "hidden")).all()


@pytest.mark.parametrize("scale", [0.5, 0.9, 1.1])
def test_a_linear_network_grows_by_the_scale_of_its_kernel(scale, numbers):
    """Near zero tanh is linear, and a kernel that is `scale` times a rotation multiplies every length by it."""
    model = config("rnn", hidden_size=8)
    tensors = {name: np.zeros_like(tensor) for name, tensor in random_tensors(model, numbers).items()}
    rotation, _ = np.linalg.qr(numbers.normal(size=(8, 8)))
    tensors["layers.0.recurrent_kernel"] += (scale * rotation).astype(np.float32)
    tensors["head_kernel"] += numbers.normal(size=tensors["head_kernel"].shape).astype(np.float32)
    found = measure_flow("it", model, from_tensors(model, tensors, "test"), numbers.integers(0, SYMBOLS, (400, 3)), 64)
    assert found.growth == pytest.approx(math.log(scale), abs=1e-5)
    hidden = curve(found, "hidden")
    assert hidden - hidden[:1] == pytest.approx(np.arange(64)[:, None] * math.log(scale) + np.zeros((1, 3)), abs=1e-4)
    assert {each.part for each in found.curves} == {"hidden"}  # no gate, no carousel


def test_a_gru_keeps_what_its_update_gate_keeps(numbers):
    model = config("gru")
    tensors = {name: np.zeros_like(tensor) for name, tensor in random_tensors(model, numbers).items()}
    tensors["layers.0.bias"][UNITS : 2 * UNITS] = math.log(0.8 / 0.2)
    found = measure_flow("it", model, from_tensors(model, tensors, "test"), numbers.integers(0, SYMBOLS, (200, 1)), 50)
    assert curve(found, "carousel")[:, 0] == pytest.approx(np.arange(1, 51) * math.log(0.8), rel=1e-4)
    assert found.growth == pytest.approx(math.log(0.8), rel=1e-4)


# --- laws -----------------------------------------------------------------------------------------------------------


def test_windows_are_measured_each_for_itself(numbers, monkeypatch):
    model = config("gru", layers=2)
    params = from_tensors(model, random_tensors(model, numbers), "test")
    windows = numbers.integers(0, SYMBOLS, (40, 5))
    together = measure_flow("it", model, params, windows, 8)
    monkeypatch.setattr(flow, "_AT_ONCE", 1)
    alone = measure_flow("it", model, params, windows, 8)
    assert alone.growth == pytest.approx(together.growth, abs=1e-5)
    for one, other in zip(alone.curves, together.curves, strict=True):
        assert (one.layer, one.part) == (other.layer, other.part)
        assert one.logs == pytest.approx(other.logs, abs=1e-3)


def test_a_window_of_three_characters_has_one_lag(numbers):
    model = config()
    params = from_tensors(model, random_tensors(model, numbers), "test")
    found = measure_flow("it", model, params, numbers.integers(0, SYMBOLS, (3, 1)), 128)
    assert curve(found, "cell").shape == (1, 1) and (found.characters, found.windows) == (1, 1)
    assert math.isnan(found.growth_error)


def test_the_decay_is_the_first_lag_with_so_little_left():
    logs = np.log([2.0, 1.0, 0.5, 0.02, 0.1])[:, None]
    assert flow.Curve(1, "cell", logs).decay(0.25) == 3
    assert flow.Curve(1, "cell", logs).decay(0.01) == 4
    assert flow.Curve(1, "cell", logs).decay(0.001) is None
    assert flow.Curve(1, "cell", np.full((3, 2), -np.inf)).decay(0.5) is None  # a head of zeros


@pytest.mark.parametrize("name", ["layers.0.bias", "head_bias"])
def test_weights_that_are_not_finite_are_refused(name, numbers):
    model = config()
    tensors = random_tensors(model, numbers)
    tensors[name][0] = np.nan
    with pytest.raises(RunError, match="this run: its numbers are not finite"):
        measure_flow("this run", model, from_tensors(model, tensors, "test"), numbers.integers(0, SYMBOLS, (9, 1)), 2)


def test_what_forgets_at_once_grows_by_minus_infinity(numbers):
    model = config("rnn")
    tensors = random_tensors(model, numbers)
    tensors["layers.0.recurrent_kernel"] *= 0
    found = measure_flow("it", model, from_tensors(model, tensors, "test"), numbers.integers(0, SYMBOLS, (9, 2)), 2)
    assert found.growth == -math.inf and math.isnan(found.growth_error)
    assert np.isneginf(curve(found, "hidden")).all()
