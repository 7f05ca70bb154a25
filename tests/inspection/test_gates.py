"""Shares and time constants of gates against models whose answer is known, and against a loop in NumPy."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, RunError
from charlstm.inspection.gates import open_gates, read_gates
from charlstm.inspection.passage import Passage
from charlstm.inspection.trace import trace
from charlstm.model.parameters import initial_parameters
from charlstm.options import InspectOptions
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized  # to the last bits, by two programs

H = 6


@pytest.fixture
def make(weights_of):
    """A function that makes weights of a cell, whose parameters are what `change` makes of them."""

    def build(cell, change=lambda name, leaf: leaf, vocabulary=None, layers=1):
        vocabulary = vocabulary or Vocabulary("abc\n")
        shape = ModelConfig(
            vocabulary_size=len(vocabulary), layers=layers, hidden_size=H, embedding_size=3, dropout=0.0, cell=cell
        )
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf: change(jax.tree_util.keystr(path), leaf), initial_parameters(shape, 3)
        )
        return weights_of(shape, vocabulary, params)

    return build


def logit(share):
    return np.log(share / (1 - share))


def only_bias(columns):
    """All parameters zero but the biases of the gates' columns: gates are the same at every character."""

    def change(name, leaf):
        return np.asarray(columns, np.float32) if name.endswith("['bias'].value") or "'bias'" in name else 0 * leaf

    return change


def test_of_gates_that_never_move_all_is_known(make):
    forget = np.array([0.5, np.exp(-1 / 100), 0.05, 0.95, 1.0, 1e-30])
    columns = [np.full(H, logit(0.02)), np.append(logit(forget[:4]), [50.0, -200.0]), np.zeros(H), np.full(H, 9.0)]
    gates = open_gates(make("lstm", only_bias(np.concatenate(columns))), InspectOptions("abcabc"))
    layer = gates.layers[1]
    np.testing.assert_array_equal(layer.closed["forget"], [0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(layer.open["forget"], [0, 1, 0, 1, 1, 0])
    assert layer.closed["input"].tolist() == [1] * H and layer.open["output"].tolist() == [1] * H
    assert layer.time_constants is not None
    np.testing.assert_allclose(layer.time_constants[:4], -1 / np.log(forget[:4]), rtol=1e-4)
    assert np.isposinf(layer.time_constants[4]) and layer.time_constants[5] < 0.02
    assert gates.to_dict()["layers"][0]["gates"]["forget"] == {"closed": pytest.approx(2 / 6), "open": 0.5}


@pytest.mark.parametrize(("cell", "keeps"), [("lstm", "forget"), ("gru", "update"), ("rnn", None)])
def test_pieces_are_as_if_each_were_read_alone_and_their_warm_up_does_not_count(make, numbers, cell, keeps):
    weights = make(cell, lambda name, leaf: 3 * leaf, layers=2)
    pieces = [numbers.integers(0, 4, length) for length in (90, 61, 90)]
    gates = read_gates(weights, Passage(pieces, "text", "character", 30), [1, 2], shown=20)
    for number, layer in gates.layers.items():
        alone = [
            {name: np.concatenate([getattr(each[number - 1], name) for each in blocks]) for name in layer.arrays}
            for blocks in (list(trace(weights, piece)) for piece in pieces)
        ]
        for name, values in layer.arrays.items():
            np.testing.assert_allclose(values, alone[0][name][30:50], atol=1e-6)
        for gate, closed in layer.closed.items():
            counted = np.concatenate([each[gate][30:] for each in alone])
            assert len(counted) == gates.characters == 60 + 31 + 60
            np.testing.assert_allclose(closed, (counted < 0.1).mean(0), atol=0.01)
            np.testing.assert_allclose(layer.open[gate], (counted > 0.9).mean(0), atol=0.01)
            if gate == keeps:
                np.testing.assert_allclose(np.exp(-1 / layer.time_constants), counted.mean(0), rtol=1e-4)
        assert (layer.time_constants is None) == (keeps is None) and bool(layer.closed) == (cell != "rnn")


def test_one_layer_alone_is_that_layer(make):
    weights = make("gru", layers=2)
    both, second = (open_gates(weights, InspectOptions("abcab", layer=layer)) for layer in (None, 2))
    assert list(second.layers) == [2]
    np.testing.assert_array_equal(both.layers[2].arrays["hidden"], second.layers[2].arrays["hidden"])
    with pytest.raises(ConfigError, match="no layer 3"):
        open_gates(weights, InspectOptions("abcab", layer=3))


def test_weights_that_are_not_finite_are_said(make):
    with pytest.raises(RunError, match="not finite"):
        open_gates(make("lstm", lambda name, leaf: leaf * np.nan), InspectOptions("abc"))


def test_the_units_that_vary_most_come_with_similar_ones_beside_them(make, numbers):
    layer = open_gates(make("rnn"), InspectOptions("abc")).layers[1]
    waves = np.stack([np.sin(np.arange(200) / 9), np.cos(np.arange(200) / 9)], 1)
    mixed = waves[:, [0, 1, 0, 1]] + 0.1 * numbers.normal(size=(200, 4))
    quiet = 0.01 * numbers.normal(size=(200, 2))
    layer = replace(layer, arrays={"hidden": np.concatenate([quiet, mixed], 1).astype(np.float32)})
    order = layer.varying("hidden", 4)
    assert sorted(order) == [2, 3, 4, 5] and {*order[:2]} in ({2, 4}, {3, 5})
    still = replace(layer, arrays={"hidden": np.ones((9, 4), np.float32)})
    assert sorted(still.varying("hidden", 9)) == [0, 1, 2, 3] and still.varying("hidden", 1) == [0]


@pytest.mark.parametrize(
    ("vocabulary", "text", "symbols"),
    [
        (Vocabulary("abc\n"), "a\nb", ["a", "\n", "b"]),
        (Vocabulary("abc").with_boundary("--"), "a--b", ["\n", "a", "\n", "b"]),
        (Vocabulary.of_bytes(), "é漢", ["é", "", "漢", "", ""]),
        (Vocabulary.of_bytes(), "\udcc3b", ["\udcc3", "b"]),
        (Vocabulary.of_bytes().with_boundary("--"), "é--b", ["\n", "é", "", "\n", "b"]),
    ],
)
def test_each_id_has_its_symbol(make, tmp_path, vocabulary, text, symbols):
    gates = open_gates(make("rnn", vocabulary=vocabulary), InspectOptions(text))
    assert gates.symbols == symbols and len(gates.ids) == len(symbols)
    assert gates.text == vocabulary.text_of(vocabulary.decode(gates.ids)) and gates.text.endswith(text)


def test_arrays_are_saved_by_name(make, tmp_path):
    gates = open_gates(make("lstm", layers=2), InspectOptions("abcabcabc", shown=4))
    gates.save(tmp_path / "gates.npz")
    with np.load(tmp_path / "gates.npz", allow_pickle=False) as saved:
        arrays = dict(saved)
    assert str(arrays["text"]) == "abca" and arrays["ids"].tolist() == gates.ids.tolist()
    for number, layer in gates.layers.items():
        np.testing.assert_array_equal(arrays[f"layers.{number - 1}.forget"], layer.arrays["forget"])
        np.testing.assert_array_equal(arrays[f"layers.{number - 1}.forget.closed"], layer.closed["forget"])
        assert arrays[f"layers.{number - 1}.cell"].shape == (4, H)
        assert arrays[f"layers.{number - 1}.time_constants"].shape == (H,)
