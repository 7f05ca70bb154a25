"""The exported file: what is in its metadata and beside it, and what is refused."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from charlstm import ConfigError, StorageError, load
from charlstm.config import RunConfig, from_dict
from charlstm.export import saving
from charlstm.language_model import LanguageModel
from charlstm.text.vocabulary import Vocabulary

onnx = pytest.importorskip("onnx")


def metadata(path) -> dict[str, str]:
    return {each.key: each.value for each in onnx.load(path).metadata_props}


@pytest.mark.parametrize(
    ("vocabulary", "start", "last"),
    [
        (Vocabulary.of_characters("b\nж😀a"), 0, "😀"),
        (Vocabulary.of_characters("ba"), 0, "b"),
        (Vocabulary.of_characters("ba").with_boundary("\n--\n"), 2, "\n--\n"),
        (Vocabulary.of_characters("ba").with_boundary(""), 2, "\n"),
        (Vocabulary.of_bytes(), 10, "\xff"),
    ],
    ids=["characters", "without line ends", "documents", "files", "bytes"],
)
def test_whoever_has_the_file_can_read_and_write_ids(save_random_model, tmp_path, vocabulary, start, last):
    model = load(save_random_model(vocabulary))
    model.export_onnx(tmp_path / "m.onnx")
    found = metadata(tmp_path / "m.onnx")
    assert Vocabulary.from_json(found["vocabulary"], "here") == vocabulary
    assert from_dict(RunConfig, json.loads(found["config"]), "here") == model.config
    symbols = json.loads(found["symbols"])
    assert len(symbols) == len(vocabulary) and symbols[-1] == last and json.loads(found["start"]) == start
    assert "".join(symbols) == vocabulary.decode(np.arange(len(vocabulary)))
    beside = json.loads((tmp_path / "m.onnx.json").read_text("utf-8"))
    assert beside == {name: json.loads(text) for name, text in found.items()}


def test_no_path_of_this_machine_is_in_it(trained_run, tmp_path):
    model = load(trained_run.path)
    corpus = dataclasses.replace(model.config.corpus, sources=["/home/maren/tale.txt"])
    config = dataclasses.replace(model.config, corpus=corpus)
    LanguageModel(dataclasses.replace(model.weights, config=config)).export_onnx(tmp_path / "m.onnx")
    for path in tmp_path.iterdir():
        assert b"tale.txt" in path.read_bytes() and b"maren" not in path.read_bytes(), path


def test_counts_stay_behind(trained_run, tmp_path):
    model = load(trained_run.path)
    model.export_onnx(tmp_path / "with.onnx")
    LanguageModel(model.weights.alone).export_onnx(tmp_path / "alone.onnx")
    assert (tmp_path / "with.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


@pytest.mark.parametrize("name", ["model", "model.json", "model.onnx.gz", "-", "", None, 5])
def test_another_ending_is_refused(save_random_model, name):
    with pytest.raises(ConfigError, match=r"does not end in \.onnx"):
        load(save_random_model(Vocabulary.of_characters("ab"))).export_onnx(name)


@pytest.mark.parametrize("name", ["m.onnx", "m.onnx.json"])
def test_what_is_there_is_replaced_only_if_it_shall_be(save_random_model, tmp_path, name):
    model = load(save_random_model(Vocabulary.of_characters("ab")))
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(StorageError, match=rf"{name} is there already"):
        model.export_onnx(tmp_path / "m.onnx")
    assert (tmp_path / name).read_bytes() == b"mine" and len([*tmp_path.glob("m.onnx*")]) == 1
    model.export_onnx(tmp_path / "m.onnx", overwrite=True)
    assert metadata(tmp_path / "m.onnx").keys() == json.loads((tmp_path / "m.onnx.json").read_bytes()).keys()


@pytest.mark.parametrize("name", ["m.onnx", "m.onnx.json"])
def test_a_folder_is_no_file(save_random_model, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=f"{name} is not a file"):
        load(save_random_model(Vocabulary.of_characters("ab"))).export_onnx(tmp_path / "m.onnx", overwrite=True)
    assert len([*tmp_path.glob("m.onnx*")]) == 1


def test_a_folder_that_is_not_there_is_named(save_random_model, tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*nowhere.m\.onnx"):
        load(save_random_model(Vocabulary.of_characters("ab"))).export_onnx(tmp_path / "nowhere" / "m.onnx")


def test_without_onnx_it_is_said_how_to_have_it(save_random_model, tmp_path, monkeypatch):
    model = load(save_random_model(Vocabulary.of_characters("ab")))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError) as refused:
        model.export_onnx(tmp_path / "m.onnx")
    assert "pip install 'charlstm[onnx]'" in refused.value.hint


def test_what_no_onnx_file_can_hold_is_refused(save_random_model, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "_MAX_BYTES", 100)
    with pytest.raises(ConfigError, match="larger than an ONNX file may be"):
        load(save_random_model(Vocabulary.of_characters("ab"))).export_onnx(tmp_path / "m.onnx")
    assert not [*tmp_path.glob("m.onnx*")]
