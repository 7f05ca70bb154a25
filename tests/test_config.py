"""Settings: in range or refused by name, and JSON that must be exactly right."""

import dataclasses
import json
import math

import pytest
from conftest import training_config

from charlstm.config import CorpusConfig, ModelConfig, RunConfig, TrainingConfig, from_dict, to_dict
from charlstm.errors import ConfigError, RunError
from charlstm.options import SampleOptions, TrainOptions

RUN = RunConfig(
    model=ModelConfig(vocabulary_size=65, layers=1, hidden_size=512, embedding_size=128, dropout=0.3),
    training=training_config(batch_size=32, learning_rate=8e-3, steps=1000, precision="bfloat16", sample_every=20),
    corpus=CorpusConfig(sources=["novel.txt"], unit="character", encoding="utf-8", fingerprint="abc", characters=1000),
    versions={"jax": "0.12"},
)


def test_a_run_survives_its_json():
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(RUN))), "config.json") == RUN


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("model", "layers"), None, "'layers' is None"),
        (("model", "layers"), "2", "'layers' is '2'"),
        (("model", "layers"), True, "'layers' is True"),
        (("model", "layers"), 1.5, "'layers' is 1.5"),
        (("model", "layers"), 2.0, "'layers' is 2.0"),
        (("model", "dropout"), False, "'dropout' is False"),
        (("model", "dropout"), "0.3", "'dropout' is '0.3'"),
        (("training", "minutes"), True, "'minutes' is True"),
        (("training", "minutes"), math.inf, "minutes is inf"),
        (("training", "seed"), -1, "seed is -1"),
        (("training", "batch_size"), 10**400, "batch_size is 1000"),
        (("corpus", "sources"), "novel.txt", "'sources' is 'novel.txt'"),
        (("corpus", "unit"), ["byte"], "'unit' is ['byte']"),
        (("format",), "1", "'format' is '1'"),
        (("corpus",), None, "should hold a JSON object"),
        (("model", "layers"), 0, "layers is 0, but must be"),
        (("model", "dropout"), math.nan, "dropout is nan"),
        (("model", "cell"), "mgu", "'cell' is 'mgu'"),
        (("training", "precision"), "float64", "'precision'"),
        (("corpus", "sources"), [1], "'sources'"),
        (("corpus", "colour"), "red", "'colour' is not known"),
        (("versions",), {"jax": 12}, "'versions'"),
        (("versions",), ["jax"], "'versions'"),
        (("model",), [], "should hold a JSON object"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(path, value, words):
    data = to_dict(RUN)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(RunError) as caught:
        from_dict(RunConfig, data, "runs/x/config.json")
    assert words in caught.value.message and "runs/x/config.json" in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        field.name
        for field in dataclasses.fields(TrainingConfig)
        if field.default is field.default_factory is dataclasses.MISSING
    ],
)
def test_a_missing_value_is_named(name):
    data = to_dict(RUN)
    del data["training"][name]
    with pytest.raises(RunError, match=f"'{name}' is missing"):
        from_dict(RunConfig, data, "config.json")


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (TrainOptions, {"dropout": 1.0}, "dropout is"),
        (TrainOptions, {"learning_rate": math.inf}, "learning_rate is"),
        (TrainOptions, {"validation": -0.1}, "validation is"),
        (SampleOptions, {"top_p": 0.0}, "top_p is"),
        (SampleOptions, {"temperature": -1.0}, "temperature is"),
        (SampleOptions, {"length": -1}, "length is"),
        (SampleOptions, {"top_p": math.nan}, "top_p is"),
        (SampleOptions, {"top_p": 1.0001}, "top_p is"),
        (SampleOptions, {"top_k": -1}, "top_k is"),
        (TrainOptions, {"layers": 65}, "layers is"),
        (TrainOptions, {"seed": 2**32}, "seed is"),
        (TrainOptions, {"minutes": 0.0}, "minutes is"),
        (TrainOptions, {"steps": 0}, "steps is"),
        (TrainOptions, {"sequence_length": 0}, "sequence_length is"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(kind, settings, words):
    with pytest.raises(ConfigError, match=words):
        kind(**settings)


@pytest.mark.parametrize("edge", [{"dropout": 0.0}, {"validation": 0.0}, {"seed": 2**32 - 1}, {"sample_every": 0}])
def test_the_edges_of_a_range_belong_to_it(edge):
    assert dataclasses.asdict(TrainOptions(**edge)).items() >= edge.items()


def test_settings_cannot_be_changed_behind_the_checks():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RUN.model.layers = 0  # type: ignore[misc]


def test_what_earlier_versions_did_not_write_is_at_its_default():
    data = to_dict(RUN)
    del data["training"]["schedule"], data["init_from"]
    assert from_dict(RunConfig, data, "config.json") == RUN


def test_what_may_be_published_has_no_paths():
    corpus = dataclasses.replace(RUN.corpus, sources=["/home/ann/novel.txt", "C:\\Users\\ann\\letters\\", "salt-road"])
    config = dataclasses.replace(RUN, corpus=corpus, init_from="/home/ann/runs/first").without_paths()
    assert config.corpus.sources == ["novel.txt", "letters", "salt-road"] and config.init_from == "first"
    assert "ann" not in json.dumps(to_dict(config))


@pytest.mark.parametrize("data", [None, [], "text", 3, math.nan])
def test_json_that_is_no_object_is_refused_by_its_file(data):
    with pytest.raises(RunError, match=r"config\.json should hold a JSON object"):
        from_dict(RunConfig, data, "config.json")


def test_two_budgets_contradict_each_other():
    with pytest.raises(ConfigError, match="epochs and minutes"):
        TrainOptions(epochs=1, minutes=1)
