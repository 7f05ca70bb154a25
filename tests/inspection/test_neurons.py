"""Units with a meaning: those that are made by hand are found, and where there are none, none is."""

import json

import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, CorpusError, RunError
from charlstm.inspection.features import FEATURES
from charlstm.inspection.neurons import find_neurons
from charlstm.inspection.trace import trace
from charlstm.model.parameters import from_tensors, initial_parameters, to_tensors
from charlstm.options import InspectOptions
from charlstm.text.vocabulary import Vocabulary

SYMBOLS = "\n ()abcdeiou"
SCORED = {feature.name: number for number, feature in enumerate(FEATURES)}


@pytest.fixture(scope="module")
def text() -> str:
    """Lines of words at random, some of them in brackets that are closed within the line or after it."""
    numbers, pieces, is_open = np.random.default_rng(3), list[str](), False
    for _ in range(2500):
        if numbers.random() < (0.3 if is_open else 0.1):
            pieces.append(")" if is_open else "(")
            is_open = not is_open
        pieces.append("".join(numbers.choice(list("abcdeiou"), numbers.integers(1, 7))))
        pieces.append("\n" if numbers.random() < 0.15 else " ")
    return "".join(pieces)


@pytest.fixture
def by_hand(weights_of):
    """A function that makes weights of one layer of 6 units, random but for unit 2: `columns` are of its gates.

    Each is a function of a character; nothing comes from the unit's hidden state but `recurrent`.
    """

    def make(cell, columns, recurrent: float = 0.0):
        vocabulary, size = Vocabulary.of_characters(SYMBOLS), 6
        V = len(vocabulary)
        shape = ModelConfig(vocabulary_size=V, layers=1, hidden_size=size, embedding_size=V, dropout=0.0, cell=cell)
        tensors = {name: np.array(leaf) for name, leaf in to_tensors(initial_parameters(shape, 1)).items()}
        tensors["embedding"] = np.eye(V, dtype=np.float32)
        for gate, column in enumerate(columns):
            place = gate * size + 2
            tensors["layers.0.input_kernel"][:, place] = [column(symbol) for symbol in vocabulary.symbols]
            tensors["layers.0.recurrent_kernel"][:, place] = 0
            tensors["layers.0.recurrent_kernel"][2, place] = recurrent
            tensors["layers.0.bias"][place] = 0
        return weights_of(shape, vocabulary, from_tensors(shape, tensors, "by hand"))

    return make


@pytest.mark.parametrize(("up", "way"), [(9.0, "high"), (-9.0, "low")])
def test_a_flag_that_is_made_by_hand_is_found(by_hand, text, up, way):
    """A unit of a plain RNN that goes up at an opening bracket, down at a closing one, and stays between them."""
    weights = by_hand("rnn", [lambda c: {"(": up, ")": -up}.get(c, 0.0)], recurrent=3.0)
    found = find_neurons(weights, InspectOptions(text))
    best = found.neurons[0]
    assert (best.feature.name, best.layer, best.unit) == ("brackets", 1, 2)
    assert (
        best.score > 0.995 > 0.9 > max(best.luck, best.untrained)
        and best.meaning == f"{way} inside brackets: (), [] or {{}}"
    )
    assert found.scores[SCORED["brackets"], 0].argmax() == 2 and np.isnan(found.scores[SCORED["quotes"]]).all()
    assert found.left_out["quotes"] == "always the same" and found.left_out["bracket depth"] == "never above 1"
    assert found.characters == len(text) and f"{len(text):,} characters" in found.where
    painted = found.paintings[0]
    assert (painted.layer, painted.unit, len(painted.characters)) == (1, 2, 400)
    start = text.index("".join(each.text for each in painted.characters))
    assert start > len(text) // 2 and text[start - 1] == "\n"
    depth = [text[: start + n + 1].count("(") - text[: start + n + 1].count(")") for n in range(400)]
    assert [each.value * up > 0 for each in painted.characters] == [bool(each) for each in depth]


def test_a_count_that_is_made_by_hand_is_found(by_hand, text):
    """A cell state that falls by a tenth with each character, and that the forget gate clears at a line's end."""
    is_open = lambda c: -30.0 if c == "\n" else 30.0  # noqa: E731
    gates = [is_open, is_open, lambda _: -0.1, lambda _: 0.0]
    found = find_neurons(by_hand("lstm", gates), InspectOptions(text))
    best = found.neurons[0]
    assert (best.feature.name, best.unit, best.measure) == ("place in the line", 2, "R2")
    assert best.score > 0.95 and best.luck < 0.2 and best.trend < -0.8
    assert best.meaning == "falls with the number of characters since the line end"


def test_a_model_that_was_never_trained_has_learned_nothing(by_hand, weights_of, text):
    shape, vocabulary = by_hand("lstm", []).model, Vocabulary.of_characters(SYMBOLS)
    fresh = weights_of(shape, vocabulary, initial_parameters(shape, 0))
    found = find_neurons(fresh, InspectOptions(text))
    assert found.neurons and not found.paintings
    for each in found.neurons:  # untrained they are scored in a program of its own
        assert each.score == pytest.approx(each.untrained, rel=1e-4, abs=1e-6) and each.gain < 1e-5
    assert any(each.follows for each in found.neurons)


def test_one_unit_is_held_against_every_feature_and_painted_from_the_beginning(by_hand, text):
    weights = by_hand("gru", [lambda c: 0.0] * 3)
    found = find_neurons(weights, InspectOptions(text, unit="1.4"))
    assert {each.unit for each in found.neurons} == {4} and len(found.neurons) + len(found.left_out) == len(FEATURES)
    for each in found.neurons:
        assert each.score == found.scores[SCORED[each.feature.name], 0, 4]
    [painted] = found.paintings
    assert "".join(each.text for each in painted.characters) == text[:2000]
    insides = [inside.hidden[:, 4] for (inside,) in trace(weights, weights.vocabulary.encode(text[:2000]))]
    np.testing.assert_allclose([each.value for each in painted.characters], np.concatenate(insides), atol=1e-6)


def test_what_is_learned_in_the_first_half_is_scored_in_the_second(by_hand):
    """There the unit means the opposite."""
    weights = by_hand("rnn", [lambda c: {"a": 9.0, "b": -9.0, "e": -9.0, "c": 9.0}.get(c, 0.0)])
    numbers = np.random.default_rng(0)
    text = "".join("".join(numbers.choice(list(letters), 2000)) for letters in ("ab", "ec"))
    assert find_neurons(weights, InspectOptions(text)).scores[SCORED["vowel"], 0, 2] < 0.05


def test_what_a_unit_cannot_know_it_follows_by_luck_only(by_hand, text):
    """All letters look the same to this model, and they are at random."""
    weights = by_hand("lstm", [])
    tensors = {name: np.array(leaf) for name, leaf in to_tensors(weights.params).items()}
    tensors["embedding"][4:] = tensors["embedding"][4]
    blind = from_tensors(weights.model, tensors, "by hand")
    found = find_neurons(type(weights)(weights.config, weights.vocabulary, blind), InspectOptions(text))
    vowels = {each.feature.name: each for each in found.neurons}["vowel"]
    # It knows where letters are; among letters it could only guess, so shifted ones would be as good but for spaces.
    letters = np.array([c.isalpha() for c in text])
    assert vowels.score < 0.5 + 0.5 * letters.mean() and vowels.score > vowels.luck
    known = {each.feature.name: each for each in find_neurons(weights, InspectOptions(text)).neurons}["vowel"]
    assert known.score > vowels.score + 0.05


def test_units_that_hold_nothing_of_the_text_follow_nothing(weights_of, by_hand, text):
    weights = by_hand("lstm", [])
    tensors = {name: np.array(leaf) for name, leaf in to_tensors(weights.params).items()}
    tensors["embedding"][:] = 0
    blind = from_tensors(weights.model, tensors, "by hand")
    found = find_neurons(weights_of(weights.model, weights.vocabulary, blind), InspectOptions(text))
    assert found.neurons and not found.paintings
    for each in found.neurons:
        assert each.gain <= 0.02 and each.score < (0.05 if each.feature.is_number else 0.55)


def test_a_text_that_comes_in_pieces_is_scored_like_a_whole_one(by_hand, text, tmp_path):
    weights = by_hand("rnn", [lambda c: {"(": 9.0, ")": -9.0}.get(c, 0.0)], recurrent=3.0)
    path = tmp_path / "long.txt"
    path.write_text(text * 12, "utf-8")  # 130,000 characters
    found = find_neurons(weights, InspectOptions(file=path))
    assert "in 16 pieces" in found.where and found.characters == 100_000
    assert found.neurons[0].unit == 2 and found.neurons[0].score > 0.99


def test_results_can_be_saved_and_are_json(by_hand, text, tmp_path):
    found = find_neurons(by_hand("rnn", []), InspectOptions(text))
    found.save(tmp_path / "n.npz")
    with np.load(tmp_path / "n.npz") as saved:
        np.testing.assert_array_equal(saved["scores"], found.scores)
        assert saved["features"].tolist() == list(SCORED) and saved["layers"].tolist() == [1]
        of_best = saved["luck"][SCORED[found.neurons[0].feature.name]]
    assert of_best == found.neurons[0].luck
    data = json.loads(json.dumps(found.to_dict()))
    assert [each["score"] for each in data["neurons"]] == [each.score for each in found.neurons]
    assert [set(each) for each in data["paintings"]] == [{"layer", "unit", "text", "values"}] * len(found.paintings)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"text": "ab"}, CorpusError, "2 characters of the text given are too few"),
        ({"unit": "1.6"}, ConfigError, "from `unit=1.0` to 1.5"),
        ({"unit": "2.0"}, ConfigError, "none of this model"),
        ({"unit": "7"}, ConfigError, "none of this model"),
        ({"unit": "1.٣"}, ConfigError, "none of this model"),
        ({"unit": "1.0", "layer": 2}, ConfigError, "contradict"),
        ({"layer": 2}, ConfigError, "no layer 2"),
    ],
)
def test_what_cannot_be_is_refused(by_hand, text, options, kind, words):
    with pytest.raises(kind) as refused:
        find_neurons(by_hand("rnn", []), InspectOptions(**{"text": text} | options))
    assert words in f"{refused.value.message} {refused.value.hint}"


def test_weights_that_are_not_finite_are_refused(by_hand, text):
    with pytest.raises(RunError, match="not finite"):
        find_neurons(by_hand("rnn", [lambda _: float("nan")]), InspectOptions(text))


def test_a_unit_is_painted_over_any_text(by_hand):
    found = find_neurons(by_hand("rnn", []), InspectOptions("ab", unit="1.0"))
    assert not found.neurons and found.left_out["quotes"] == "fewer than 1,000 characters"
    assert [each.text for each in found.paintings[0].characters] == ["a", "b"]


def test_bytes_of_one_character_have_the_value_of_the_last(weights_of):
    vocabulary = Vocabulary.of_bytes()
    shape = ModelConfig(vocabulary_size=256, layers=1, hidden_size=3, embedding_size=4, dropout=0.0)
    weights = weights_of(shape, vocabulary, initial_parameters(shape, 0))
    found = find_neurons(weights, InspectOptions("aéж", unit="1.1"))
    [inside] = [inside for (inside,) in trace(weights, np.frombuffer("aéж".encode(), np.uint8))]
    characters = found.paintings[0].characters
    assert [each.text for each in characters] == list("aéж")
    np.testing.assert_allclose([each.value for each in characters], np.tanh(inside.cell[[0, 2, 4], 1]), atol=1e-6)
