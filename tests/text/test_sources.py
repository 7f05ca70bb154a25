"""Sources: which files a user's words stand for."""

import io
import os
import sys
from pathlib import Path

import pytest

from charlstm.errors import CorpusError
from charlstm.runs.texts import find_files
from charlstm.text.sources import lasting_names, locate


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_a_folder_means_its_text_files_in_order(tmp_path):
    folder = tmp_path / ".who asks for a hidden folder means it"
    for name, text in {"b.txt": "second ", "a/x.md": "first ", ".hidden": "never", ".git/config": "never"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        written(folder / name, text)
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    assert "".join(path.read_text("utf-8") for path in locate([str(folder)])) == "first second "


def test_runs_are_no_texts_of_the_folder_that_they_are_in(tmp_path):
    text = written(tmp_path / "text.txt", "my letters")
    run = tmp_path / "runs" / "mine"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "vocabulary.json", "metrics.jsonl", "checkpoints/notes.txt"):
        written(run / name, "{}")
    assert find_files([str(tmp_path)], "character") == [text]
    alone = tmp_path / "config.json"
    written(alone, "{}")
    assert find_files([str(tmp_path)], "character") == [alone, text]


def test_bytes_are_read_from_every_file_of_a_folder(tmp_path):
    (tmp_path / "song.mid").write_bytes(b"a\0b")
    text = written(tmp_path / "text.txt", "abc")
    assert locate([str(tmp_path)], "byte") == [tmp_path / "song.mid", text]
    assert locate([str(tmp_path)]) == [text]


def test_a_folder_does_not_hide_a_named_corpus_but_a_file_does(tmp_path, monkeypatch):
    elsewhere = locate(["salt-road"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "salt-road").mkdir()
    written(tmp_path / "salt-road" / "config.json", "{}")
    assert locate(["salt-road"]) == elsewhere and lasting_names(["salt-road"], elsewhere) == ["salt-road"]
    assert locate(["./salt-road"]) == [Path("salt-road/config.json")]
    (tmp_path / "salt-road" / "config.json").unlink()
    (tmp_path / "salt-road").rmdir()
    mine = written(tmp_path / "salt-road", "my own")
    assert [path.resolve() for path in locate(["salt-road"])] == [mine]
    assert lasting_names(["salt-road"], [mine]) == [str(mine)]


def test_standard_input_can_be_named_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
    with pytest.raises(CorpusError, match="named twice"):
        locate(["-", "-"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_only_regular_files_of_a_folder_are_texts(tmp_path):
    text = written(tmp_path / "text.txt", "text")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for name, target in {"gone": "nowhere", "loop": "loop", "to-pipe": "pipe", "above": ".."}.items():
        (tmp_path / name).symlink_to(target)
    (tmp_path / "link.txt").symlink_to(text)
    assert locate([str(tmp_path)]) == [tmp_path / "link.txt", text] == locate([str(tmp_path)], "byte")


def test_a_home_folder_is_meant_where_a_shell_left_it_alone(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    text = written(tmp_path / "text.txt", "text")
    assert locate(["~/text.txt"]) == [text] and lasting_names(["~/text.txt"], [text]) == [str(text.resolve())]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    written(tmp_path / "~" / "text.txt", "another")
    assert locate(["./~/text.txt"]) == [Path("~/text.txt")]


def test_utf_16_in_a_folder_is_text(tmp_path):
    path = written(tmp_path / "wide.txt", "wide", "utf-16")
    assert locate([str(tmp_path)]) == [path]


def test_lasting_names_find_the_same_text_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    written(tmp_path / "here" / "text.txt", "in a file, ")
    monkeypatch.chdir(tmp_path / "here")
    for sources in (["text.txt", "salt-road"], ["text.txt", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
        files = locate(sources)
        content = [file.read_bytes() for file in files]
        names = lasting_names(sources, files)
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir(tmp_path)
            assert [file.read_bytes() for file in locate(names)] == content
    assert lasting_names(["salt-road"], []) == ["salt-road"]  # a name stays one: another machine keeps it elsewhere
