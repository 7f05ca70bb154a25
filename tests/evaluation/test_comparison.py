"""Models beside each other, against what every character costs and models whose answer is known."""

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

import charlstm
from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, CorpusError, RunError, VocabularyError
from charlstm.evaluation import comparison
from charlstm.model.parameters import initial_parameters
from charlstm.runs.folder import create_run
from charlstm.runs.weights import Weights, save_weights
from charlstm.text.vocabulary import Vocabulary

LN_256 = math.log(256)
V = 8  # of all other vocabularies, so that one program is compiled for them


def of(characters: str, boundary: str | None = None) -> Vocabulary:
    """A vocabulary of V symbols, those that occur and others."""
    others = "ABCDEFGH"[: V - len(characters) - (boundary is not None)]
    vocabulary = Vocabulary.of_characters(characters + others)
    return vocabulary if boundary is None else vocabulary.with_boundary(boundary)


@pytest.fixture
def save_uniform(tmp_path, trained_run):
    """A function that saves fresh weights, whose head is zero: every symbol costs ln V."""

    def save(name: str, vocabulary: Vocabulary, **corpus: object) -> Path:
        model = ModelConfig(vocabulary_size=len(vocabulary), layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
        about = dataclasses.replace(trained_run.config.corpus, unit=vocabulary.unit, **corpus)  # type: ignore[arg-type]
        config = dataclasses.replace(trained_run.config, model=model, corpus=about)
        save_weights(tmp_path / name, Weights(config, vocabulary, initial_parameters(model, 0)))
        return tmp_path / name

    return save


def test_the_error_of_a_difference_is_that_of_blocks_side_by_side(trained_run, save_uniform, tmp_path, text_file):
    other, text = save_uniform("other", trained_run.vocabulary), tmp_path / "text.txt"
    text.write_text(text_file.read_text() * 5, encoding="utf-8")
    found = charlstm.compare([trained_run.path, other], file=text)

    nats = [np.array([c.nats for c in charlstm.load(run).per_character(text)]) for run in (trained_run.path, other)]
    more = (nats[1] - nats[0])[1:]  # nothing predicts the first
    edges = [0, *range(511, len(more), 512), len(more)]
    blocks = [more[start:end] for start, end in itertools.pairwise(edges)]
    residuals = [block.sum() - more.mean() * len(block) for block in blocks]
    error = math.sqrt(sum(r * r for r in residuals) * len(blocks) / (len(blocks) - 1)) / len(more)

    difference = found.models[1].difference
    assert difference and found.models[0].difference is None
    assert (found.characters, found.blocks) == (len(more), len(blocks)) and len(blocks) > 5
    assert math.isclose(difference.loss, more.mean(), rel_tol=1e-9)
    assert math.isclose(difference.standard_error, error, rel_tol=1e-9)
    for model, each in zip(found.models, nats, strict=True):
        assert math.isclose(model.score.loss, each[1:].mean(), rel_tol=1e-9)


def test_a_model_is_no_better_than_itself(trained_run, text_file):
    found = charlstm.compare([trained_run.path] * 3, file=text_file)
    assert [(d.loss, d.standard_error) for model in found.models if (d := model.difference)] == [(0.0, 0.0)] * 2
    assert found.settings == {}


def test_without_a_text_it_is_the_validation_part_of_the_first(trained_run, text_file, save_uniform):
    other = save_uniform("other", trained_run.vocabulary)
    found = charlstm.compare([trained_run.path, other], own_text=text_file)
    own = charlstm.load(trained_run.path).evaluate(own_text=text_file, exact=True)
    assert math.isclose(found.models[0].score.nats, own.nats, rel_tol=1e-6)
    assert found.models[0].score.characters == own.characters
    assert found.text == f"the validation part of {trained_run.path}"
    assert found.models[0].reports and not found.models[1].reports


def test_units_meet_in_the_characters_of_the_text(save_uniform, tmp_path):
    (text := tmp_path / "text.txt").write_text("aé€😀" * 300, encoding="utf-8")
    characters = save_uniform("characters", of("aé€😀"))
    in_bytes = save_uniform("bytes", Vocabulary.of_bytes())
    for runs in ([characters, in_bytes], [in_bytes, characters]):
        found = charlstm.compare(runs, file=text)
        per_character = {characters: math.log(V), in_bytes: LN_256 * (10 * 300 - 1) / 1199}
        for model, run in zip(found.models, runs, strict=True):
            assert math.isclose(model.score.loss, per_character[run], rel_tol=1e-6)
            assert model.score.characters == 1199 and model.score.utf8_bytes == 2999
        difference = found.models[1].difference
        assert difference and difference.loss == pytest.approx(per_character[runs[1]] - per_character[runs[0]])


def test_a_boundary_costs_what_stands_for_it(save_uniform, tmp_path):
    (text := tmp_path / "text.txt").write_text("ab\n\nba\n\n" * 40, encoding="utf-8")
    plain = save_uniform("plain", of("ab\n"))
    cut = save_uniform("cut", of("ab\n", "\n\n"), documents="blank-lines")
    by_file = save_uniform("files", of("ab\n", ""), documents="files")
    for runs in ([plain, cut, by_file], [cut, by_file, plain], [by_file, plain, cut]):
        found = charlstm.compare(runs, file=text)
        scores = {run: model.score for run, model in zip(runs, found.models, strict=True)}
        assert len({score.characters for score in scores.values()}) == 1
        N = scores[plain].characters
        boundaries = 80 - (N < 319)  # what comes before the first document, or after the last one, may not be read
        assert scores[plain].nats == pytest.approx(N * math.log(V))
        assert scores[by_file].nats == pytest.approx(N * math.log(V))
        assert scores[cut].nats == pytest.approx((N - boundaries) * math.log(V))


def test_what_not_all_know_is_said_or_counts_for_none(save_uniform, tmp_path):
    (text := tmp_path / "text.txt").write_text("abc" * 100, encoding="utf-8")
    all_three, two = save_uniform("abc", of("abc")), save_uniform("ab", of("ab"))
    with pytest.raises(VocabularyError, match=r"ab cannot be scored on .*text.txt: 'c' \(U\+0063\)"):
        charlstm.compare([all_three, two], file=text)
    found = charlstm.compare([all_three, two], file=text, unknown="skip")
    assert found.characters == 199
    assert [model.score.loss for model in found.models] == pytest.approx([math.log(V)] * 2)
    with pytest.raises(VocabularyError, match="no character"):
        charlstm.compare([all_three, save_uniform("d", of("d"))], file=text, unknown="skip")


def test_bytes_that_are_no_text_are_compared_too(save_uniform, tmp_path):
    (file := tmp_path / "song.mid").write_bytes(bytes(range(256)) * 9)
    in_bytes = save_uniform("bytes", Vocabulary.of_bytes())
    score = charlstm.compare([in_bytes, in_bytes], file=file).models[0].score
    assert (score.utf8_bytes, score.nats) == (2303, pytest.approx(2303 * LN_256))


def test_of_a_long_text_pieces_are_scored(trained_run, text_file, save_uniform, tmp_path, monkeypatch):
    (text := tmp_path / "text.txt").write_text(text_file.read_text() * 50, encoding="utf-8")
    monkeypatch.setattr(comparison, "_MAX_CHARACTERS", 16 * 1024)
    found = charlstm.compare([trained_run.path, save_uniform("other", trained_run.vocabulary)], file=text)
    assert (found.characters, found.blocks, found.text) == (16 * 1024, 32, f"16 pieces of {text}")
    whole = charlstm.load(trained_run.path).evaluate(text)
    assert found.models[0].score.loss == pytest.approx(whole.loss, abs=0.01)


def test_only_settings_that_differ_are_told(trained_run, tmp_path, text_file):
    config = dataclasses.replace(
        trained_run.config,
        training=dataclasses.replace(trained_run.config.training, steps=7, schedule=[[0, 7]]),
        versions={"jax": "1"},
    )
    other = create_run(tmp_path / "other", config, trained_run.vocabulary)
    other.weights_path.write_bytes(trained_run.weights_path.read_bytes())
    found = charlstm.compare([trained_run.path, other.path], file=text_file)
    assert found.settings == {
        "training.steps": [120, 7], "training.schedule": [[], [[0, 7]]], "versions.jax": [None, "1"],
    }  # fmt: skip


@pytest.mark.parametrize("runs", [[], ["runs/a"], "runs"])
def test_two_are_needed(runs):
    with pytest.raises(ConfigError, match="two runs or more"):
        charlstm.compare(runs)


def test_what_cannot_be_compared_is_said(trained_run, tmp_path, text_file):
    empty = create_run(tmp_path / "new", trained_run.config, trained_run.vocabulary).path
    with pytest.raises(RunError, match="no weights yet"):
        charlstm.compare([trained_run.path, empty], file=text_file)
    with pytest.raises(CorpusError, match="there is no"):
        charlstm.compare([trained_run.path] * 2, file=tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="encoding"):
        charlstm.compare([trained_run.path] * 2, encoding="latin-1")
