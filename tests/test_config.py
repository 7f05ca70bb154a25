"""Settings: in range or refused by name, and JSON that must be exactly right."""

import dataclasses
import json
import math

import pytest

from charlstm.config import (
    CorpusConfig,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    TrainingConfig,
    Wishes,
    from_json,
    to_json,
)
from charlstm.errors import ConfigError, RunError

RUN = RunConfig(
    ModelConfig(65, 1, 512, 128, 0.3),
    TrainingConfig(32, 128, "muon", 8e-3, 0.1, 1.0, 30, 1000, None, 0.1, None, "bfloat16", 0, 20),
    CorpusConfig(["novel.txt"], "character", "utf-8", "abc", 1000),
    versions={"jax": "0.12"},
)


def test_a_run_survives_its_json():
    assert from_json(RunConfig, json.loads(json.dumps(to_json(RUN))), "config.json") == RUN


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("model", "layers"), None, "'layers' is None"),
        (("model", "layers"), "2", "'layers' is '2'"),
        (("model", "layers"), True, "'layers' is True"),
        (("model", "layers"), 1.5, "'layers' is 1.5"),
        (("model", "layers"), 0, "--layers is 0, but must be"),
        (("model", "dropout"), math.nan, "--dropout is nan"),
        (("model", "cell"), "gru", "'cell' is 'gru'"),
        (("training", "precision"), "float64", "'precision'"),
        (("corpus", "sources"), [1], "'sources'"),
        (("corpus", "colour"), "red", "'colour' is not known"),
        (("versions",), {"jax": 12}, "'versions'"),
        (("model",), [], "should hold a JSON object"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(path, value, words):
    data = to_json(RUN)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(RunError) as caught:
        from_json(RunConfig, data, "runs/x/config.json")
    assert words in caught.value.message and "runs/x/config.json" in caught.value.message


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainingConfig)])
def test_a_missing_value_is_named(name):
    data = to_json(RUN)
    del data["training"][name]
    with pytest.raises(RunError, match=f"'{name}' is missing"):
        from_json(RunConfig, data, "config.json")


@pytest.mark.parametrize(
    ("kind", "settings", "flag"),
    [
        (Wishes, {"dropout": 1.0}, "--dropout"),
        (Wishes, {"learning_rate": math.inf}, "--learning-rate"),
        (Wishes, {"validation": -0.1}, "--validation"),
        (SamplingConfig, {"top_p": 0.0}, "--top-p"),
        (SamplingConfig, {"temperature": -1.0}, "--temperature"),
        (SamplingConfig, {"length": -1}, "--length"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_flag(kind, settings, flag):
    with pytest.raises(ConfigError, match=flag):
        kind(**settings)


def test_two_budgets_contradict_each_other():
    with pytest.raises(ConfigError, match="--epochs and --minutes"):
        Wishes(epochs=1, minutes=1)
