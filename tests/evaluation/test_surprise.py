"""The surprise of each character: against a step-by-step reference, and against the score."""

import codecs
import itertools
import math
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.evaluation import surprise
from charlstm.evaluation.characters import Character, characters, lines
from charlstm.evaluation.static import score_text
from charlstm.evaluation.surprise import surprises
from charlstm.language_model import LanguageModel
from charlstm.model.network import CharRNN
from charlstm.runs.weights import Weights
from charlstm.text.vocabulary import BOUNDARY, Vocabulary, codepoints

VOCABULARY = Vocabulary("ab\nжcdef", rare=3)


def weights_for(weights_of, vocabulary: Vocabulary) -> Weights:
    """Weights of a small model that predicts something."""
    shape = ModelConfig(
        vocabulary_size=len(vocabulary), rare=vocabulary.rare, layers=2, hidden_size=8, embedding_size=4, dropout=0.0
    )
    network = CharRNN(shape, nnx.Rngs(0))
    network.head_kernel[...] = 2 * jax.random.normal(jax.random.key(1), (8, shape.rows))
    return weights_of(shape, vocabulary, nnx.state(network, nnx.Param))


def reference(weights: Weights, ids: np.ndarray) -> np.ndarray:
    """The textbook in float64: nats of every id but the first."""
    from charlstm.model.parameters import to_tensors

    p = {name: np.asarray(tensor, np.float64) for name, tensor in to_tensors(weights.params).items()}
    shape, last = weights.model, weights.model.rows - 1
    h, c = np.zeros((2, shape.layers, shape.hidden_size))
    nats = []

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for now, then in itertools.pairwise(ids.tolist()):
        x = p["embedding"][min(now, last)]
        for layer in range(shape.layers):
            kernels = p[f"layers.{layer}.input_kernel"], p[f"layers.{layer}.recurrent_kernel"]
            gates = x @ kernels[0] + h[layer] @ kernels[1] + p[f"layers.{layer}.bias"]
            i, f, g, o = np.split(gates, 4)
            c[layer] = sigmoid(f) * c[layer] + sigmoid(i) * np.tanh(g)
            x = h[layer] = sigmoid(o) * np.tanh(c[layer])
        logits = h.sum(0) @ p["head_kernel"] + p["head_bias"]
        logs = logits - np.log(np.exp(logits).sum())
        nats.append(-logs[min(then, last)] + (math.log(shape.rare) if shape.rare and then >= last else 0))
    return np.array(nats)


def pieces_of(points: np.ndarray, *cuts: int) -> Iterator[np.ndarray]:
    return iter(np.split(points, sorted(cuts)))


@pytest.mark.parametrize("length", [1, 2, 512, 513, 514, 1025, 1600])
def test_each_character_costs_what_the_textbook_says(weights_of, numbers, length):
    weights = weights_for(weights_of, VOCABULARY)
    ids = numbers.integers(0, 8, length)
    points = VOCABULARY.points[ids]
    found = list(surprises(weights, pieces_of(points, length // 3, length // 3, length // 2)))
    nats = np.concatenate([nats for _, nats in found])
    np.testing.assert_array_equal(np.concatenate([points for points, _ in found]), points)
    assert math.isnan(nats[0])
    np.testing.assert_allclose(nats[1:], reference(weights, ids), rtol=1e-4, atol=1e-5)
    if length > 1:
        assert nats[1:].sum() == pytest.approx(score_text(weights, ids, 1).nats, rel=1e-5)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 7), max_size=1300), st.data())
def test_unknown_characters_are_shown_and_change_nothing(weights_of, ids, data):
    weights = weights_for(weights_of, VOCABULARY)
    points = VOCABULARY.points[np.array(ids, int)]
    places = data.draw(st.lists(st.integers(0, len(ids)), max_size=5))
    mixed = np.insert(points, places, np.uint32(ord("?")))
    cut = data.draw(st.integers(0, len(mixed)))
    found = list(surprises(weights, pieces_of(mixed, cut)))
    assert np.array_equal(np.concatenate([np.zeros(0, np.uint32), *(points for points, _ in found)]), mixed)
    nats = np.concatenate([np.zeros(0), *(nats for _, nats in found)])
    assert np.isnan(nats[mixed == ord("?")]).all()
    alone = [np.zeros(0), *(nats for _, nats in surprises(weights, iter([points])))]
    np.testing.assert_allclose(nats[mixed != ord("?")], np.concatenate(alone), rtol=1e-5)


def test_the_first_ones_come_before_the_text_has_ended(weights_of):
    asked = []

    def text():
        for number in itertools.count():
            asked.append(number)
            yield VOCABULARY.points[np.zeros(1000, int)]

    found = surprises(weights_for(weights_of, VOCABULARY), text())
    for _ in range(40):
        assert len(next(found)[0]) <= 513
    assert len(asked) <= 22


def test_the_boundary_before_a_text_is_no_part_of_it_and_the_first_character_has_a_surprise(weights_of, numbers):
    vocabulary = VOCABULARY.with_boundary("\n")
    weights = weights_for(weights_of, vocabulary)
    ids = np.append(vocabulary.boundary, numbers.integers(0, 9, 600))
    found = list(surprises(weights, iter([vocabulary.points[ids]])))
    np.testing.assert_array_equal(np.concatenate([points for points, _ in found]), vocabulary.points[ids[1:]])
    np.testing.assert_allclose(np.concatenate([nats for _, nats in found]), reference(weights, ids), rtol=1e-4)


@pytest.mark.parametrize("window", [1, 2, 64])
def test_a_large_vocabulary_is_read_in_shorter_windows(weights_of, numbers, monkeypatch, window):
    weights = weights_for(weights_of, VOCABULARY)
    monkeypatch.setattr(surprise, "fitting_window", lambda *_: window)
    surprise._make_reader.cache_clear()
    ids = numbers.integers(0, 8, 700)
    nats = np.concatenate([nats for _, nats in surprises(weights, iter([VOCABULARY.points[ids]]))])
    surprise._make_reader.cache_clear()
    np.testing.assert_allclose(nats[1:], reference(weights, ids), rtol=1e-4, atol=1e-5)


BYTES = Vocabulary.of_bytes()


@given(st.binary(max_size=40), st.data())
def test_characters_of_bytes_are_those_of_utf8_and_cost_what_their_bytes_do(data, draw):
    if draw.draw(st.booleans()):
        data = draw.draw(st.text(max_size=20)).encode("utf-8", "surrogatepass")
    nats = np.arange(len(data)) + 0.5
    nats[:1] = math.nan
    points = np.frombuffer(data, np.uint8).astype(np.uint32)
    cut = draw.draw(st.integers(0, len(data)))
    found = list(characters(BYTES, [(points[:cut], nats[:cut]), (points[cut:], nats[cut:])]))
    assert "".join(each.text for each in found) == data.decode("utf-8", "surrogateescape")
    place = 0
    for offset, each in enumerate(found):
        size = len(each.text.encode("utf-8", "surrogateescape"))
        own = nats[place : place + size]
        assert each.offset == offset and len(each.text) == 1
        assert np.isnan(each.nats) if np.isnan(own).all() else each.nats == np.nansum(own)
        place += size
    assert place == len(data)


@pytest.mark.parametrize("separator", ["", "\n", "\n---\n", "—"])
@pytest.mark.parametrize("unit", ["character", "byte"])
def test_boundaries_are_what_they_are_written_as(separator, unit):
    base = BYTES if unit == "byte" else Vocabulary.of_characters("abé\n-—")
    vocabulary = base.with_boundary(base.symbols_of(separator))
    parts = [codepoints(base.symbols_of("aé")), [BOUNDARY], codepoints("b"), [BOUNDARY]]
    points = np.concatenate(parts).astype(np.uint32)
    found = list(characters(vocabulary, [(points, np.full(len(points), 1.0))]))
    written = separator or "\n"
    assert [each.text for each in found] == ["a", "é", written, "b", written]
    assert sum(each.nats for each in found) == len(points)
    assert [each.offset for each in found] == [0, 1, 2, 2 + len(written), 3 + len(written)]


@given(st.text("ab\r\n", max_size=30), st.integers(0, 3))
def test_lines_add_up_to_the_text(text, unknown):
    costs = [math.nan if place % 4 < unknown else 1.5 for place in range(len(text))]
    found = list(lines(Character(n, c, cost) for n, (c, cost) in enumerate(zip(text, costs, strict=True))))
    *whole, rest = text.split("\n")
    assert [each.text for each in found] == [line.removesuffix("\r") for line in whole] + [rest] * (rest != "")
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    assert sum(each.nats for each in found) == np.nansum(costs)
    assert sum(each.characters for each in found) == len(text) - sum(map(math.isnan, costs))


@pytest.mark.parametrize(
    ("boundary", "expected"),
    [("\n", [(1, "a", 3.0), (2, "b", 2.0)]), ("\n\n", [(1, "a", 3.0), (3, "b", 2.0)]),
     ("\n--\n", [(1, "a", 3.0), (2, "--", 0.0), (3, "b", 2.0)]), ("~\n\n-", [(1, "a~", 3.0), (3, "-b", 2.0)])],
)  # fmt: skip
def test_a_boundary_is_scored_with_the_line_that_it_ends_and_none_of_it_is_lost(boundary, expected):
    text = [Character(0, "a", 1.0), Character(1, boundary, 2.0), Character(1 + len(boundary), "b", 2.0)]
    assert [(each.number, each.text, each.nats) for each in lines(text)] == expected


@pytest.mark.parametrize("unknown", ["error", "skip"])
def test_a_model_reads_its_own_text_and_others(trained_run, text_file, tmp_path, unknown):
    import charlstm

    model = charlstm.load(trained_run.path)
    own = list(model.per_character(own_text=text_file))
    score = model.evaluate(exact=True, own_text=text_file)
    assert sum(each.nats for each in own[1:]) == pytest.approx(score.nats, rel=1e-4)
    assert len(own) == score.characters + 1 and math.isnan(own[0].nats)
    text = "The salt?\r\nroad" if unknown == "skip" else "The salt\nroad"
    (tmp_path / "t").write_bytes(codecs.BOM_UTF8 + text.encode())
    found = list(model.per_character(tmp_path / "t", unknown=unknown))
    assert "".join(each.text for each in found) == text
    score = model.evaluate(tmp_path / "t", unknown=unknown, exact=True)
    assert np.nansum([each.nats for each in found]) == pytest.approx(score.nats, rel=1e-4)
    assert [each.text for each in model.per_line(tmp_path / "t", unknown=unknown)] == text.splitlines()


def test_what_cannot_be_read_is_refused_before_the_first_character(trained_run, tmp_path):
    import charlstm

    (tmp_path / "t").write_text("The salt" * 10_000 + "ж", "utf-8")
    model: LanguageModel = charlstm.load(trained_run.path)
    with pytest.raises(charlstm.VocabularyError, match="80,001"):
        model.per_character(tmp_path / "t")
