"""`charlstm evaluate`: a text with its surprise, files one by one, and what is new."""

import csv
import io
import json
import os
import subprocess
import sys

import calling
import pytest
from rich.console import Console


def called(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `charlstm evaluate`."""
    capfd.readouterr()
    return calling.called(["evaluate", *map(str, arguments)]), *capfd.readouterr()


@pytest.fixture
def run(trained_run):
    """Where a model is that knows the short text."""
    return trained_run.path


@pytest.fixture
def text(tmp_path):
    """A short text."""
    (tmp_path / "verse.txt").write_bytes(b"The salt road runs\nfrom hill to sea,\n")
    return tmp_path / "verse.txt"


def test_rows_are_json_lines_or_csv_of_the_same_figures(run, text, capfd):
    score = json.loads(called(capfd, run, text, "--json", "--exact")[1])
    whole = text.read_text("utf-8")
    for flag, expected in (("--per-character", whole), ("--per-line", whole.replace("\n", ""))):
        status, out, err = called(capfd, run, text, flag)
        rows = [json.loads(line) for line in out.splitlines()]
        assert status == 0 and err == "" and "".join(row["text"] for row in rows) == expected
        assert sum(row["nats"] or 0 for row in rows) == pytest.approx(score["loss"] * score["characters"], rel=1e-4)
        assert all(row["bits"] is None or row["bits"] == pytest.approx(row["nats"] * 1.442695) for row in rows)
        table = list(csv.DictReader(io.StringIO(called(capfd, run, text, flag, "--csv")[1], newline="")))
        assert table == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def test_a_carriage_return_is_a_field_of_csv(run, text, capfd):
    text.write_bytes(b"The\r\nsalt\r,")
    out = called(capfd, run, text, "--per-character", "--csv", "--unknown", "skip")[1]
    assert [row["text"] for row in csv.DictReader(io.StringIO(out, newline=""))] == list("The\r\nsalt\r,")
    assert out.startswith("offset,text,nats,bits\n0,T,,\n")


def test_unknown_characters_stand_in_their_place_without_a_number(run, text, capfd):
    text.write_bytes("The ж salt\n".encode())
    assert "--unknown skip" in called(capfd, run, text, "--per-character")[2]
    out = called(capfd, run, text, "--per-character", "--unknown", "skip")[1]
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows if row["nats"] is None] == ["T", "ж"]
    assert [row["offset"] for row in rows] == list(range(11))


@pytest.mark.parametrize(("colours", "expected"), [("256", "48;5;"), (None, "")], ids=["colours", "none"])
def test_a_heat_map_is_for_what_shows_colours(run, text, capfd, monkeypatch, colours, expected):
    console = Console(force_terminal=bool(colours), color_system=colours, width=200, _environ={})
    monkeypatch.setattr("charlstm.display.console.out", console)
    status, out, err = called(capfd, run, text, "--heatmap")
    if colours:
        assert status == 0 and expected in out and "bits of surprise" in out
    else:
        assert (status, out) == (2, "") and "FORCE_COLOR=1" in err and "--per-character" in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--heatmap", "--per-line"], "--heatmap and --per-line contradict"),
        (["--heatmap", "--json"], "--heatmap and --json contradict"),
        (["--per-line", "--per-file"], "--per-line and --per-file contradict"),
        (["--per-line", "--json", "--csv"], "--json and --csv contradict"),
        (["--csv"], "--csv is for --per-character, --per-line, --per-file"),
        (["--per-character", "--dynamic"], "--per-character and `--dynamic` contradict"),
        (["--per-file", "--windows", "8"], "--per-file and `--windows 8` contradict"),
        (["--heatmap", "--novelty"], "--heatmap and `--novelty` contradict"),
    ],
    ids=str,
)
def test_what_contradicts_is_one_sentence(capfd, flags, words):
    status, out, err = called(capfd, "nowhere", "text", *flags)
    assert (status, out) == (2, "") and words in " ".join(err.split())


def test_files_are_for_files(capfd):
    assert "none is named" in called(capfd, "nowhere", "--per-file")[2]


def test_files_are_sorted_and_those_without_a_score_are_named_at_the_end(run, text, capfd, tmp_path):
    (tmp_path / "odd.txt").write_bytes(b"aes tllatsae\n")
    (tmp_path / "strange.txt").write_text("ж", "utf-8")
    names = [str(tmp_path / name) for name in ("odd.txt", "verse.txt", "strange.txt")]
    status, out, err = called(capfd, run, *names, "--per-file")
    lines = [line.split() for line in out.splitlines()]
    assert status == 1 and [line[-1] for line in lines[1:]] == [names[1], names[0]]
    assert float(lines[1][0]) < float(lines[2][0]) and lines[1][-2] == "36"
    assert err.startswith(f"not scored: {names[2]}: 'ж'") and "--unknown skip" in err
    found = json.loads(called(capfd, run, *names, "--per-file", "--json")[1])
    assert [each["file"] for each in found["files"]] == [names[1], names[0]]
    assert [each["file"] for each in found["refused"]] == [names[2]]
    assert found["files"][1]["standard_error"] is None
    table = list(csv.DictReader(io.StringIO(called(capfd, run, *names, "--per-file", "--csv")[1])))
    assert [float(row["loss"]) for row in table] == [each["loss"] for each in found["files"]]
    assert called(capfd, run, *names[:2], "--per-file")[0] == 0


def test_a_file_is_named_though_its_name_stands_in_the_sentence_by_chance(run, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("ж", "utf-8")
    (tmp_path / "t").write_bytes(b"T")
    err = called(capfd, run, "a", "t", "no", "--per-file")[2]
    assert "not scored: a: 'ж'" in err and "not scored: t holds" in err and "not scored: there is no file" in err


def test_what_is_new_is_said_beside_the_score(run, text_file, tmp_path, capfd):
    own = text_file.read_text("utf-8")
    (tmp_path / "copied.txt").write_text("aes" + own[10:50] + "tset", "utf-8")
    command = [run, tmp_path / "copied.txt", "--novelty", "--own-text", text_file]
    found = json.loads(called(capfd, *command, "--json")[1])["novelty"]
    assert own[10:50] in found["span"] and found["longest_span"] == len(found["span"]) < 47
    assert found["new_20_grams"] == pytest.approx(1 - (found["longest_span"] - 19) / (47 - 19))
    assert f"longest span from the training text: {found['longest_span']} characters" in called(capfd, *command)[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_goes_ends_it_quietly(run, text_file, tmp_path):
    (tmp_path / "long.txt").write_text(text_file.read_text("utf-8") * 200, "utf-8")
    command = [sys.executable, "-m", "charlstm", "evaluate", str(run), str(tmp_path / "long.txt"), "--per-character"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline())["text"] == "T"
        process.stdout.close()
        assert process.stderr.read() == b""
