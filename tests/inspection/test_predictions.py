"""What is expected at each place, against reading a prompt up to there."""

import math

import numpy as np
import pytest

import charlstm
from charlstm.config import ModelConfig
from charlstm.inspection.predictions import predict
from charlstm.model.parameters import initial_parameters
from charlstm.text.vocabulary import Vocabulary

TEXT = "The salt road runs from hill to sea,\nand who goes out comes home to tea 7.\n" * 2


def test_each_place_is_as_after_the_prompt_before_it(trained_run, tmp_path):
    (file := tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    model = charlstm.load(trained_run.path)
    found = predict(model.weights, model.vocabulary.encode(TEXT))
    for place in (1, 2, 63, 64, 65, len(TEXT) - 1):
        symbols, chances = zip(*model.next_characters(TEXT[:place], top=5), strict=True)
        assert model.vocabulary.decode(found.likeliest[place]) == "".join(symbols)
        assert found.probabilities[place] == pytest.approx(chances, rel=1e-4)
    nats = [each.nats for each in model.per_character(file)]
    assert math.isnan(found.nats[0]) and found.nats[1:] == pytest.approx(nats[1:], rel=1e-4)


def test_rare_symbols_share_what_they_have_together(weights_of):
    vocabulary = Vocabulary("abcdef", rare=4)
    shape = ModelConfig(vocabulary_size=6, rare=4, layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    found = predict(weights_of(shape, vocabulary, initial_parameters(shape, 0)), np.array([0, 5, 1, 2]))
    assert found.nats[1:] == pytest.approx(np.log([12, 3, 12]))  # a third for a, for b, and for all others
    assert found.likeliest[1:].tolist() == [[0, 1, 2]] * 3
    assert found.probabilities[1:] == pytest.approx(np.tile([1 / 3, 1 / 3, 1 / 12], (3, 1)))


def test_of_a_single_character_nothing_is_predicted(trained_run):
    found = predict(charlstm.load(trained_run.path).weights, np.array([1]))
    assert found.likeliest.shape == (1, 5) and math.isnan(found.nats[0])
