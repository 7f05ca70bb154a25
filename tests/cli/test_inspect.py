"""`charlstm inspect`: gates on the terminal, as JSON and as files; what contradicts is refused."""

import json
import sys

import calling
import numpy as np
import pytest


@pytest.fixture
def inspect(trained_run, text_file, capfd):
    """Exit status, stdout and stderr of `charlstm inspect` with a model that knows the short text."""

    def run(*arguments: object):
        capfd.readouterr()
        status = calling.called(["inspect", str(trained_run.path), *map(str, arguments)])
        return status, *capfd.readouterr()

    return run


def test_gates_are_shown_below_the_text_with_what_they_rest_on(inspect):
    status, out, err = inspect("--text", "The salt road\n", "--units", 3, "--layer", 2)
    lines = out.splitlines()
    units = "of layer 2, the 3 of 16 units whose cell state varies most; 14 characters of the text given"
    assert status == 0 and err == "" and "layer 1" not in out
    assert lines[0] == f"forget gate {units}" and lines[7] == f"cell state {units}"
    for start in 2, 9:
        assert lines[start] == "unit The salt road␤" and all(len(line) == 19 for line in lines[start + 1 : start + 4])
    assert [line[:4] for line in lines[3:6]] == [line[:4] for line in lines[10:13]], "the same units"
    assert "longest: unit" in out and out.count("of 14 characters of the text given") == 2
    lines = inspect("--text", "The salt road\n", "--gate", "hidden", "--layer", 1)[1].splitlines()
    assert lines[0].startswith("hidden state of layer 1") and "forget gate of" not in "".join(lines[:15])


def test_json_has_the_figures(inspect, text_file):
    status, out, _ = inspect("--gates", "--own-text", text_file, "--json")
    found = json.loads(out)
    assert status == 0 and found["cell"] == "lstm" and found["characters"] == 75
    assert found["text"] == "75 characters of the validation part"
    assert [layer["layer"] for layer in found["layers"]] == [1, 2]
    for layer in found["layers"]:
        constants = layer["time_constants"]
        assert constants["gate"] == "forget" and len(constants["units"]) == 16
        assert constants["quantiles"]["1"] == max(constants["units"])
        assert all(0 <= share <= 1 for gate in layer["gates"].values() for share in gate.values())


def test_pictures_and_arrays_are_files(inspect, tmp_path):
    names = [tmp_path / f"gates.{kind}" for kind in ("png", "svg", "npz")]
    text = "The $alt r$oad\t漢 \x1b[5m"
    flags = [part for name in names for part in (f"--{name.suffix[1:]}", name)]
    status, out, err = inspect("--text", text, "--unknown", "skip", "--layer", 2, *flags)
    assert status == 0 and err == "" and out.split() == list(map(str, names))
    assert names[0].read_bytes().startswith(b"\x89PNG") and b"</svg>" in names[1].read_bytes()
    with np.load(names[2]) as arrays:
        assert str(arrays["text"]) == "The alt road 5m" and arrays["layers.1.hidden"].shape == (15, 16)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--text", "The", "--file", "x"], 2, "--text and --file contradict"),
        (["--text", "The", "--own-text", "x"], 2, "--own-text and --text contradict"),
        (["--gates", "--encoding", "utf-8"], 2, "for a file"),
        (["--gates", "--units", "0"], 2, "--units"),
        (["--layer", 3, "--text", "The"], 2, "no layer 3"),
        (["--gates", "--layer", 65], 2, "--layer is 65"),
        (["--layer", 1], 2, "--layer is not for the card of a run"),
        (["--text", "The", "--gate", "update"], 2, "forget, input, output, candidate, cell, hidden"),
        (["--file", "nowhere.txt"], 1, "nowhere.txt"),
        (["--text", "T"], 1, "no two characters"),
        (["--text", "The", "--png", "."], 2, "not a file"),
        (["--text", "The", "--npz", "nowhere/x.npz"], 1, "cannot write"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(inspect, arguments, status, message):
    found, out, err = inspect(*arguments)
    assert (found, out) == (status, "") and message in " ".join(err.replace("\u2502", " ").split())


@pytest.mark.parametrize(
    ("takes", "arguments", "given"),
    [({"run"}, ["--png", "x.png"], "--png"), ({"run"}, ["--json"], "--json"), ({"as_json"}, ["--json"], "a run")],
)
def test_what_is_not_for_a_view_is_refused(inspect, monkeypatch, takes, arguments, given):
    module = sys.modules["charlstm.cli.inspect"]  # the package has a function of this name
    monkeypatch.setattr(module, "_VIEWS", {"gates": takes})
    status, out, err = inspect("--gates", *arguments)
    assert (status, out) == (2, "") and f"{given} and --gates do not go together" in err


def test_standard_input_is_one_thing_only(capfd):
    assert calling.called(["inspect", "-", "--file", "-"]) == 2 and "both" in capfd.readouterr().err


def test_without_matplotlib_a_picture_is_refused_and_the_extra_named(inspect, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, _, err = inspect("--text", "The", "--png", tmp_path / "x.png")
    assert status == 2 and "charlstm[plots]" in err and not list(tmp_path.iterdir())
