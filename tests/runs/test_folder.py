"""The run directory: what comes back is what was saved, or an error."""

import errno
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from charlstm.errors import MemoryLimitError, RunError, StorageError
from charlstm.evaluation.static import score_text
from charlstm.model.parameters import initial_parameters, to_tensors
from charlstm.runs import folder, weights
from charlstm.runs.checkpoints import load_checkpoint, save_checkpoint
from charlstm.runs.finding import free_name, newest_run
from charlstm.runs.folder import WEIGHTS, create_run, open_run, settle, stage_run
from charlstm.runs.metrics import KEYS
from charlstm.runs.tensors import save_tensors
from charlstm.runs.texts import reopen
from charlstm.runs.weights import Weights, load_weights, save_weights
from charlstm.runtime import memory
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
    loaded, facts, config, damage = load_checkpoint(run, state)
    assert facts == {"step": 3} and config == run.config.without_paths() and not damage
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
    assert load_checkpoint(run, state).facts == {"step": 3}


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
        ("config.json", '"order_seed": 0', '"order_seed": -1', "order_seed"),
        ("config.json", '"documents": "whole"', '"documents": "lines"', "no boundary"),
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
    new = stage_run(run.path, run.config, run.vocabulary, overwrite=True)
    assert new.replaces_another and run.weights_path.exists() and load_weights(run.path)
    new = new.promote()
    assert not new.replaces_another and (run.path / "notes.txt").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"1")
    with pytest.raises(RunError, match="is not a run"):
        stage_run(tmp_path / "photos", run.config, run.vocabulary, overwrite=True)
    assert (tmp_path / "photos" / "one.jpg").exists()


def test_reports_survive_a_crash_in_the_middle_of_a_line(run):
    reports = [dict.fromkeys(sorted(KEYS), step) for step in (1, 2)]
    run.metrics.append(reports)
    with run.metrics.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')
    assert run.metrics.read() == reports
    run.metrics.cut(1)
    assert run.metrics.read() == reports[:1]


def test_the_newest_run_is_the_one_written_to_last(make_run, tmp_path, monkeypatch):
    first, second = make_run("first"), make_run("second")
    later = time.time() + 3600
    os.utime(first.metrics.path, (later, later))
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
    before = [report["step"] for report in run.metrics.read()]
    corpus, _ = reopen(run.config.corpus, run.vocabulary)
    score = score_text(load_weights(path), corpus.split(0.1)[1])
    assert score.nats == pytest.approx(225.1454, abs=0.01), "as the run itself noted at step 28"
    *_, last = train(run, corpus, resume=True)
    assert last.reason == "done" and last.step == 60 and last.best
    assert [report["step"] for report in run.metrics.read()][: len(before)] == before


# --- checkpoints: the last one and the one before it ---


def test_the_checkpoint_before_the_last_one_is_kept_and_used_when_the_last_is_damaged(run):
    state = initial_state(run.config.model, run.config.training)
    save_checkpoint(run, state, {"step": 4})
    last, previous = run.checkpoint_paths
    assert load_checkpoint(run, state).facts == {"step": 4}
    data = bytearray(last.read_bytes())
    data[-1] ^= 1
    last.write_bytes(data)
    found = load_checkpoint(run, state)
    assert found.facts == {"step": 3} and "last.safetensors is damaged" in found.damage
    previous.write_bytes(b"")
    with pytest.raises(RunError, match=r"last\.safetensors is damaged"):
        load_checkpoint(run, state)


def kill_after(monkeypatch, count: int) -> None:
    """End the program, as it were, at the rename that follows on `count` others."""
    replace_file, numbers = folder.replace, iter(range(count))

    def replace_or_end(source: Path, target: Path) -> None:
        if next(numbers, None) is None:
            raise KeyboardInterrupt
        replace_file(source, target)

    monkeypatch.setattr(folder, "replace", replace_or_end)


@pytest.mark.parametrize("killed_after", [0, 1])
def test_a_kill_between_the_renames_of_a_save_loses_nothing(run, monkeypatch, killed_after):
    state = initial_state(run.config.model, run.config.training)
    save_checkpoint(run, state, {"step": 4})
    kill_after(monkeypatch, killed_after)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(run, state, {"step": 5})
    monkeypatch.undo()
    assert load_checkpoint(run, state).facts == {"step": 4}, "as it is read without order being made"
    settle(run.path)
    assert load_checkpoint(run, state).facts == {"step": 5}
    assert {path.name for path in (run.path / "checkpoints").iterdir()} == {"last.safetensors", "previous.safetensors"}


# --- a new run in the place of an old one ---


def test_the_old_run_is_whole_until_the_new_one_takes_its_place(run):
    new = replace(run.config, training=replace(run.config.training, seed=9))
    staged = stage_run(run.path, new, run.vocabulary, overwrite=True)
    assert open_run(run.path) == run and load_weights(run.path)
    settle(run.path)  # as whoever comes after a kill does
    assert not staged.folder.exists() and open_run(run.path) == run


@pytest.mark.parametrize("moved", range(8))
def test_a_new_run_that_was_killed_while_it_took_its_place_takes_it_later(run, moved, monkeypatch):
    state = initial_state(run.config.model, run.config.training)
    save_checkpoint(run, state, {"step": 4})
    config = replace(run.config, training=replace(run.config.training, seed=9))
    new = stage_run(run.path, config, run.vocabulary, overwrite=True)
    later = time.time() + 60
    for step in (5, 6):
        save_checkpoint(new, state, {"step": step})
    save_weights(new.weights_path, Weights(config, run.vocabulary, initial_parameters(config.model, 8)))
    for path in new.folder.rglob("*"):
        os.utime(path, (later, later))
    kill_after(monkeypatch, moved)
    with suppress(KeyboardInterrupt):
        new.promote()
    monkeypatch.undo()
    settle(run.path)
    wanted = config if moved else run.config  # the first rename decides
    after = open_run(run.path)
    assert after.config == wanted and load_weights(run.path).config == wanted.without_paths()
    assert load_checkpoint(after, state).facts["step"] == (6 if moved else 4)
    after.checkpoint_paths[0].unlink()
    assert load_checkpoint(after, state).facts["step"] == (5 if moved else 3)
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_writer_left_is_removed(run):
    for name in (".weights.safetensors.ab12.tmp", "checkpoints/.next.safetensors.cd34.tmp"):
        (run.path / name).write_bytes(b"half")
    settle(run.path)
    assert not list(run.path.rglob("*.tmp"))


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_nothing_is_written_through_a_link(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run.path / "checkpoints", elsewhere)
    (run.path / "checkpoints").symlink_to(elsewhere)
    with pytest.raises(RunError, match="checkpoints is a link"):
        settle(run.path)
    (tmp_path / "precious").write_text("mine", "utf-8")
    for path in (run.metrics.path, run.weights_path, run.path / "config.json"):
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "precious")
    run.metrics.cut(0)
    save_weights(run.weights_path, Weights(run.config, run.vocabulary, initial_parameters(run.config.model, 5)))
    run.with_config(replace(run.config, versions={"charlstm": "9"}))
    assert (tmp_path / "precious").read_text("utf-8") == "mine"


# --- what is inside ---


def test_weights_and_checkpoints_have_no_paths_of_this_machine(make_run, corpus, tmp_path):
    run = make_run()
    about = replace(run.config.corpus, sources=[str(tmp_path / "private" / "verse.txt")])
    run = run.with_config(replace(run.config, corpus=about, init_from=str(tmp_path / "private" / "other")))
    assert open_run(run.path) == run
    for _ in train(run, corpus):
        pass
    for path in (run.weights_path, *run.checkpoint_paths):
        assert b"verse.txt" in path.read_bytes() and b"private" not in path.read_bytes()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(run, number):
    params = initial_parameters(run.config.model, 5)
    tensors = to_tensors(params)
    tensors["head_bias"] = np.full_like(tensors["head_bias"], number)
    save_tensors(run.weights_path, tensors, run.header)
    with pytest.raises(RunError, match="'head_bias' holds numbers that are not finite"):
        load_weights(run.path)


@pytest.mark.parametrize(
    "facts", ["", "null", "[1]", "{}", '{"step": "two"}', '{"schedule": 3, "cadence": {}, "best": {}}']
)
def test_a_checkpoint_whose_facts_are_not_those_of_a_run_is_refused(run, corpus, facts):
    state = initial_state(run.config.model, run.config.training)
    tensors = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
    save_tensors(run.checkpoint_paths[0], tensors, run.header | {"facts": facts})
    with pytest.raises(RunError):
        for _ in train(run, corpus, resume=True):
            pass


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 1, "format": 1}', "9" * 5000, '"\\ud800"', ""])
def test_json_of_any_shape_is_refused(run, name, text):
    (run.path / name).write_text(text, "utf-8")
    with pytest.raises(RunError, match=name):
        open_run(run.path)


def test_weights_that_cannot_fit_are_refused_before_they_are_read(run, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * run.weights_path.stat().st_size - 1)
    monkeypatch.setattr(weights, "load_tensors", lambda path: pytest.fail("read"))
    with pytest.raises(MemoryLimitError, match=r"the model in .*weights\.safetensors needs about"):
        load_weights(run.path)


def test_a_text_where_a_run_belongs_is_named_as_what_it_is(tmp_path):
    (tmp_path / "novel.txt").write_text("It was a dark and stormy night.", "utf-8")
    with pytest.raises(RunError, match=r"novel\.txt is neither a run nor a weights file"):
        load_weights(tmp_path / "novel.txt")


def test_the_newest_run_that_has_weights_can_be_asked_for(make_run, tmp_path):
    first, second = make_run("first"), make_run("second")
    with pytest.raises(RunError, match="has weights yet"):
        newest_run(tmp_path, [WEIGHTS])
    save_weights(first.weights_path, Weights(first.config, first.vocabulary, initial_parameters(first.config.model, 5)))
    os.utime(second.metrics.path, (later := time.time() + 3600, later))
    assert newest_run(tmp_path, [WEIGHTS]) == first.path and newest_run(tmp_path) == second.path
