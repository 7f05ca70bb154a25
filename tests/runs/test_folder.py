"""The run directory: what comes back is what was saved, or an error."""

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from charlstm.errors import RunError, StorageError
from charlstm.evaluation.static import score_text
from charlstm.model.parameters import initial_parameters, to_tensors
from charlstm.runs.checkpoints import load_checkpoint, save_checkpoint
from charlstm.runs.folder import create_run, free_name, newest_run, open_run
from charlstm.runs.texts import reopen
from charlstm.runs.weights import Weights, load_weights, save_weights
from charlstm.training.loop import train
from charlstm.training.steps import initial_state


@pytest.fixture
def run(make_run):
    """A run with weights and a checkpoint."""
    run = make_run()
    save_weights(run.weights_path, Weights(run.config, run.vocabulary, initial_parameters(run.config.model, 5)))
    save_checkpoint(run, initial_state(run.config.model, run.config.training), {"step": 3})
    return run


def test_weights_come_back_as_they_were_with_all_that_belongs_to_them(run):
    weights = load_weights(run.path)
    saved = to_tensors(initial_parameters(run.config.model, 5))
    for name, tensor in to_tensors(weights.params).items():
        np.testing.assert_array_equal(tensor, saved[name])
    assert weights.config == run.config and weights.vocabulary == run.vocabulary


def test_the_weights_file_alone_is_enough(run, tmp_path):
    alone = shutil.move(run.weights_path, tmp_path / "alone.safetensors")
    shutil.rmtree(run.path)
    weights = load_weights(alone)
    assert weights.config == run.config and weights.vocabulary == run.vocabulary
    assert to_tensors(weights.params).keys() == to_tensors(initial_parameters(run.config.model, 5)).keys()


def test_a_checkpoint_comes_back_bit_for_bit(run):
    state = initial_state(run.config.model, run.config.training)
    loaded, facts = load_checkpoint(run, state)
    assert facts == {"step": 3}
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_opened_run_is_the_one_that_was_created(run):
    assert open_run(run.path) == run


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["weights.safetensors", "checkpoints/last.safetensors"])
def test_a_changed_byte_anywhere_is_noticed(run, name, place):
    path = run.path / name
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError):
        if name.startswith("weights"):
            load_weights(path)
        else:
            load_checkpoint(run, initial_state(run.config.model, run.config.training))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'seed\\": 0', b'seed\\": 1'), (b"symbols", b"symbolz"), (b'"head_bias"', b'"head_biaz"')],
    ids=["a setting", "the vocabulary", "a name"],
)
def test_an_edited_header_is_noticed_though_it_is_still_sound(run, old, new):
    data = run.weights_path.read_bytes()
    assert old in data
    run.weights_path.write_bytes(data.replace(old, new))
    with pytest.raises(RunError, match="SHA-256"):
        load_weights(run.path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_another_program_is_refused(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros((3, 4), np.float32)}, path, metadata)
    with pytest.raises(RunError, match=r"model\.safetensors is not a weights file of charlstm"):
        load_weights(path)


def test_weights_of_a_newer_format_are_refused_by_its_number(run):
    newer = replace(run, config=replace(run.config, format=2))
    save_weights(run.weights_path, Weights(newer.config, run.vocabulary, initial_parameters(run.config.model, 5)))
    with pytest.raises(RunError, match="is of format 2, but this program reads format 1"):
        load_weights(run.path)


def test_a_save_that_fails_leaves_the_checkpoint_before_it_whole(run, monkeypatch):
    state = initial_state(run.config.model, run.config.training)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError):
        save_checkpoint(run, state, {"step": 4})
    assert load_checkpoint(run, state)[1] == {"step": 3}


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_noticed(run, share):
    data = run.weights_path.read_bytes()
    run.weights_path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(RunError, match="weights"):
        load_weights(run.path)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("config.json", '"format": 1', '"format": 2', "format 2"),
        ("config.json", '"layers": 2', '"layers": "two"', "'layers'"),
        ("config.json", "{", "", "JSON"),
        ("vocabulary.json", '"symbols": "', '"symbols": "%', "vocabulary"),
        ("vocabulary.json", '"unit"', '"union"', "vocabulary"),
    ],
)
def test_an_edited_setting_is_noticed(run, name, old, new, words):
    path = run.path / name
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(RunError, match=words):
        open_run(run.path)


def test_a_checkpoint_of_other_settings_is_refused(run):
    path = run.path / "config.json"
    path.write_text(path.read_text("utf-8").replace('"seed": 0', '"seed": 1'), "utf-8")
    changed = open_run(run.path)
    with pytest.raises(RunError, match="are not those that its checkpoint was written with"):
        load_checkpoint(changed, initial_state(run.config.model, run.config.training))


def test_an_existing_run_is_replaced_only_on_request_and_nothing_else_ever(run, tmp_path):
    with pytest.raises(RunError, match="already holds a run"):
        create_run(run.path, run.config, run.vocabulary)
    (run.path / "notes.txt").write_text("mine", "utf-8")
    create_run(run.path, run.config, run.vocabulary, overwrite=True)
    assert not run.weights_path.exists() and (run.path / "notes.txt").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"1")
    with pytest.raises(RunError, match="is not a run"):
        create_run(tmp_path / "photos", run.config, run.vocabulary, overwrite=True)
    assert (tmp_path / "photos" / "one.jpg").exists()


def test_reports_survive_a_crash_in_the_middle_of_a_line(run):
    run.append_metrics({"step": 1})
    run.append_metrics({"step": 2})
    with run.metrics_path.open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')
    assert [report["step"] for report in run.read_metrics()] == [1, 2]
    run.cut_metrics(1)
    assert json.loads(run.metrics_path.read_text("utf-8")) == {"step": 1}


def test_the_newest_run_is_the_one_written_to_last(make_run, tmp_path, monkeypatch):
    first, second = make_run("first"), make_run("second")
    first.append_metrics({"step": 1})
    later = time.time() + 3600
    os.utime(first.metrics_path, (later, later))
    assert newest_run(tmp_path) == first.path != second.path
    with pytest.raises(RunError, match="no run in"):
        newest_run(tmp_path / "nowhere")


def test_a_file_that_vanishes_meanwhile_is_not_asked_for_its_time(make_run, tmp_path):
    run = make_run("busy")
    (run.path / ".weights.safetensors.tmp").symlink_to("renamed already")
    assert newest_run(tmp_path) == run.path


def test_a_free_name_is_counted_up(tmp_path):
    assert free_name(tmp_path / "a") == tmp_path / "a"
    for name in ("a", "a-2"):
        (tmp_path / name).mkdir()
    assert free_name(tmp_path / "a") == tmp_path / "a-3"


def test_a_run_of_an_earlier_version_is_read_and_resumed(tmp_path, text_file, monkeypatch):
    # Made and stopped before the modules were put into rooms; files of a run are a promise.
    path = shutil.copytree(Path(__file__).with_name("format-1"), tmp_path / "run")
    monkeypatch.chdir(text_file.parent)
    run = open_run(path)
    before = [report["step"] for report in run.read_metrics()]
    corpus = reopen(run.config.corpus, run.vocabulary)
    score = score_text(load_weights(path), corpus.split(0.1)[1])
    assert score.nats == pytest.approx(225.1454, abs=0.01), "as the run itself noted at step 28"
    *_, last = train(run, corpus, resume=True)
    assert last.reason == "done" and last.step == 60 and last.best
    assert [report["step"] for report in run.read_metrics()][: len(before)] == before
