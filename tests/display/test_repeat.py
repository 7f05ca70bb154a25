"""The command that repeats a run: what was chosen for it, and nothing that is so by itself."""

import dataclasses
import shlex
from pathlib import Path

import typer.main

from charlstm.cli import app
from charlstm.display.repeat import repeat_command


def words(make_run, schedule=((0, 20),), **changes):
    config = make_run(**changes).config
    return shlex.split(repeat_command(config, [*map(list, schedule)]))


def test_every_size_is_given_and_defaults_are_not(make_run):
    command = words(make_run, learning_rate=1e-3)
    assert command[:3] == ["charlstm", "train", "verse.txt"] and command[-2:] == ["--steps", "20"]
    given = dict(zip(command[3::2], command[4::2], strict=True))
    assert given["--hidden-size"] == "12" and given["--layers"] == "2" and given["--learning-rate"] == "0.001"
    assert given["--precision"] == "float32" and given["--batch-size"] == "4"
    assert not {"--seed", "--unit", "--encoding", "--validation", "--optimizer", "--clip"} & set(given)
    known = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    assert set(given) <= {flag for each in known.params for flag in each.opts}


def test_an_estimated_length_is_given_as_the_schedule(make_run):
    command = words(make_run, ((0, 400), (3, 250)), minutes=0.1)
    assert command[-2:] == ["--schedule", "0:400,3:250"] and "--minutes" not in command


def test_what_cannot_be_repeated_exactly_has_no_command(make_run):
    assert repeat_command(make_run().config, []) == ""


def test_a_shape_that_comes_with_the_weights_is_not_given(make_run):
    config = dataclasses.replace(make_run().config, init_from="/runs/first")
    command = shlex.split(repeat_command(config, [[0, 20]]))
    assert command[command.index("--init-from") + 1] == "/runs/first" and "--hidden-size" not in command


def test_a_text_in_this_folder_is_named_from_here_and_others_in_full(make_run, monkeypatch, tmp_path):
    config = make_run().config
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sources = [str(tmp_path / "here" / "a text.txt"), str(tmp_path / "other.txt")]
    config = dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, sources=sources))
    assert shlex.split(repeat_command(config, [[0, 20]]))[2:4] == ["a text.txt", str(Path(sources[1]))]
