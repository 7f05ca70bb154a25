"""Leaving out is scoring an edited text; gradient x input is a derivative, and adds up where all is linear."""

import json
import math

import numpy as np
import pytest

import charlstm
from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, RunError
from charlstm.inspection.attribution import attribute, save_attributions
from charlstm.model.parameters import from_tensors, initial_parameters, to_tensors
from charlstm.options import InspectOptions
from charlstm.text.vocabulary import Vocabulary

TEXT = "The salt road runs from hill to sea,\nand who goes out"


@pytest.fixture(scope="module")
def model(trained_run):
    return charlstm.load(trained_run.path)


@pytest.fixture
def make_weights(weights_of):
    """A function that makes weights at random, whose embedding is `scale` times as large."""

    def make(cell="lstm", scale: float = 1.0, vocabulary: Vocabulary | None = None, **changes: np.ndarray):
        vocabulary = vocabulary or Vocabulary.of_characters("abcdefgh")
        shape = ModelConfig(
            vocabulary_size=len(vocabulary), layers=1, hidden_size=8, embedding_size=6, dropout=0.0, cell=cell,
            rare=vocabulary.rare,
        )  # fmt: skip
        tensors = {name: np.array(leaf) for name, leaf in to_tensors(initial_parameters(shape, 5)).items()}
        tensors["head_kernel"] = np.random.default_rng(1).normal(size=(8, shape.rows)).astype(np.float32)
        tensors |= changes
        tensors["embedding"] = tensors["embedding"] * np.float32(scale)
        return weights_of(shape, vocabulary, from_tensors(shape, tensors, "at random"))

    return make


def scored(model: charlstm.LanguageModel, text: str, path) -> float:
    """The log-probability of the last character of a text."""
    path.write_text(text, "utf-8")
    return -list(model.per_character(path))[-1].nats


def values(characters) -> list[float]:
    return [each.value for each in characters]


@pytest.mark.parametrize("last", [200, 20, 1])
def test_leaving_out_is_scoring_the_edited_text(model, tmp_path, last):
    [found] = model.attribution(TEXT, at=[44], last=last)
    before, target = TEXT[:44], TEXT[44]
    assert (found.target, found.is_next, found.at) == (target, True, 44)
    whole = scored(model, before + target, tmp_path / "whole.txt")
    assert found.log_probability == pytest.approx(whole, abs=1e-4)
    assert "".join(each.text for each in found.left_out) == before[-last:]
    for place in {0, 1, last // 2, last - 1}:
        place = min(place, len(found.left_out) - 1)
        cut = len(before) - len(found.left_out) + place
        edited = scored(model, before[:cut] + before[cut + 1 :] + target, tmp_path / "edited.txt")
        assert found.left_out[place].value == pytest.approx(whole - edited, abs=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_gradient_x_input_is_the_derivative_by_the_scale_of_an_embedding(make_weights, cell):
    """Each character occurs once, so that its row of the embedding is its own."""
    text, step = "hbcaedgf", 1e-2
    [found] = attribute(make_weights(cell), InspectOptions(text, at=[7]))
    assert found.target == "f"
    rows = np.array(to_tensors(make_weights(cell).params)["embedding"])
    for place, symbol in enumerate(text[:7]):
        ends = []
        for factor in (1 + step, 1 - step):
            changed = rows.copy()
            changed["abcdefgh".index(symbol)] *= factor
            [each] = attribute(make_weights(cell, embedding=changed), InspectOptions(text, at=[7]))
            ends.append(each.log_probability)
        slope = (ends[0] - ends[1]) / (2 * step)
        assert found.gradient_x_input[place].value == pytest.approx(slope, abs=2e-4)
    assert max(map(abs, values(found.gradient_x_input))) > 0.01


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_where_all_is_linear_the_shares_add_up(make_weights, cell):
    """Small embeddings move the log-probability away from that of none by the sum of their shares."""
    small, none = (attribute(make_weights(cell, scale), InspectOptions("hbcaedgf", at=[7]))[0] for scale in (3e-3, 0.0))
    total = sum(values(small.gradient_x_input))
    assert total == pytest.approx(small.log_probability - none.log_probability, rel=0.06)
    assert abs(total) > 1e-4 and values(none.gradient_x_input) == [0.0] * 7


def test_at_the_end_it_is_the_likeliest_and_elsewhere_what_comes_next(model):
    at_end, before = model.attribution(TEXT, at=[len(TEXT), 10])
    [(likeliest, probability)] = model.next_characters(TEXT, top=1)
    assert (at_end.target, at_end.is_next) == (likeliest, False)
    assert at_end.log_probability == pytest.approx(math.log(probability), abs=1e-4)
    assert (before.target, before.is_next, before.at) == (TEXT[10], True, 10)
    [by_default], [alone] = model.attribution(TEXT), model.attribution(TEXT, at=10)
    assert by_default == at_end and alone == before


def test_how_far_is_looked_back_changes_nothing_of_what_is_seen(model):
    [far], [near] = model.attribution(TEXT), model.attribution(TEXT, last=9)
    for name in ("gradient_x_input", "left_out"):
        np.testing.assert_allclose(values(getattr(far, name))[-9:], values(getattr(near, name)), atol=1e-5)


def test_a_text_of_one_character_has_none_to_leave_out(model):
    [found] = model.attribution(TEXT, at=1)
    assert math.isnan(found.left_out[0].value) and math.isfinite(found.gradient_x_input[0].value)


def test_rare_symbols_bytes_and_documents(make_weights):
    rare = Vocabulary("abcdefgh", rare=3)
    [found] = attribute(make_weights(vocabulary=rare), InspectOptions("abgh", at=3))
    assert found.target == "h" and len(found.left_out) == 3
    [found] = attribute(make_weights(vocabulary=Vocabulary.of_bytes()), InspectOptions("aéb", at=3))
    assert [each.text for each in found.left_out] == ["a", "é"] and found.target == "b"
    documents = Vocabulary.of_characters("ab\n").with_boundary("\n")
    [found] = attribute(make_weights(vocabulary=documents), InspectOptions("ab\na", at=2))
    assert [each.text for each in found.left_out] == ["\n", "a", "b"] and found.target == "\n"
    assert found.where == "4 characters of the text given"  # as `at` counts them: without the boundary before them


def test_it_is_json_and_arrays(model, tmp_path):
    [found] = model.attribution(TEXT, at=3)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["at"] == 3 and data["target"] == TEXT[3] and data["is_next"]
    assert [each["text"] for each in data["characters"]] == list(TEXT[:3])
    assert [each["left_out"] for each in data["characters"]] == values(found.left_out)
    save_attributions([found], tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["at"].tolist() == [3] and saved["0.left_out"].tolist() == values(found.left_out)


@pytest.mark.parametrize("at", [0, -1, 9, [2, 9]])
def test_a_place_that_is_not_in_the_text_is_refused(make_weights, at):
    with pytest.raises(ConfigError, match="from 1 to 8"):
        try:
            attribute(make_weights(), InspectOptions("abcdefgh", at=at))
        except ConfigError as error:
            raise ConfigError(f"{error} {error.hint}") from None


def test_weights_that_are_not_finite_are_refused(make_weights):
    weights = make_weights(head_bias=np.full(8, np.nan, np.float32))
    with pytest.raises(RunError, match="not finite"):
        attribute(weights, InspectOptions("abcdefgh"))
