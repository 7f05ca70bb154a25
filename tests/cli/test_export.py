"""`charlstm export`: what it prints, and what is refused before anything is loaded."""

from pathlib import Path

import pytest
from calling import called

from charlstm import language_model, load
from charlstm.text.vocabulary import Vocabulary

pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_prints_the_files_and_says_what_stays_behind(trained_run, save_random_model, capfd):
    assert called(["export", str(trained_run.path), "--onnx", "m.onnx"]) == 0
    out, err = capfd.readouterr()
    assert out == "m.onnx\nm.onnx.json\n"
    has_counts = load(trained_run.path).weights.counts is not None
    assert ("the network alone, as `--network-alone` has it" in err) == has_counts
    path = save_random_model(Vocabulary.of_characters("ab"))
    assert called(["export", path, "--onnx", "small.onnx", "--int8"]) == 0
    assert capfd.readouterr() == ("small.onnx\nsmall.onnx.json\n", "")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--onnx", "m.bin"], 2, "the name m.bin does not end in .onnx"),
        (["--onnx", "-"], 2, "the name - does not end in .onnx"),
        (["--onnx", "there.onnx"], 1, "there.onnx is there already\nhint: `--overwrite` replaces it"),
        (["--onnx", "folder.onnx"], 2, "folder.onnx is not a file"),
        ([], 2, "Missing option '--onnx'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(capfd, monkeypatch, arguments, status, words):
    Path("there.onnx").write_bytes(b"mine")
    Path("folder.onnx").mkdir()
    monkeypatch.setattr(language_model, "load", None)
    assert called(["export", "nowhere", *arguments]) == status
    out, err = capfd.readouterr()
    assert out == "" and words in err and "Traceback" not in err
    assert Path("there.onnx").read_bytes() == b"mine"


def test_a_run_without_weights_leaves_no_file(make_run, capfd):
    run = make_run()
    assert called(["export", str(run.path), "--onnx", "m.onnx"]) == 1
    assert "has no weights yet" in capfd.readouterr().err and not [*Path().glob("m.onnx*")]
    assert called(["export", "nowhere", "--onnx", "no/where.onnx"]) == 1
    assert "there is no run or weights file at nowhere" in capfd.readouterr().err
