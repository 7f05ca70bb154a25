"""`charlstm inspect --neurons` and `--attribution`: what is shown, as JSON, as pictures and arrays."""

import json
import random

import numpy as np
import pytest
from calling import called

TEXT = "The salt road runs from hill to sea,\nand who "


def inspected(capsys, *arguments: str) -> str:
    """What the command writes."""
    assert called(["inspect", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def long_text(tmp_path_factory, text_file):
    """Its words in a random order, in lines of random length: the text itself has a period."""
    path, words, numbers = (
        tmp_path_factory.mktemp("long") / "long.txt",
        text_file.read_text("utf-8").split(),
        random.Random(1),
    )
    path.write_text("".join(numbers.choice(words) + numbers.choice(["\n", " ", " ", " "]) for _ in range(700)), "utf-8")
    return str(path)


def test_neurons_are_a_table_and_paintings(trained_run, long_text, capsys):
    shown = inspected(capsys, str(trained_run.path), "--neurons", "--file", long_text)
    assert "vowel" in shown and "AUC" in shown and "scored on the second half of " in shown
    assert "left out:" in shown and "quotes" in shown
    assert "unit 1." in shown and "= below -0.8" in shown


def test_one_unit_is_shown_of_a_short_text(trained_run, capsys):
    shown = inspected(capsys, str(trained_run.path), "--neurons", "--text", TEXT, "--unit", "2.3")
    assert "fewer than 1,000 characters" in shown and "unit 2.3\n" in shown and TEXT.splitlines()[0] in shown


def test_attribution_has_both_ways_with_their_sums(trained_run, capsys):
    shown = inspected(capsys, str(trained_run.path), "--attribution", "--text", TEXT, "--at", "8", "--at", "45")
    assert "'␣' comes next, after character 8 of 45 characters of the text given" in shown
    assert "is the likeliest next" in shown
    assert shown.count("gradient x input: ") == shown.count("leaving each character out: ") == 2


def test_they_are_json(trained_run, long_text, capsys):
    data = json.loads(inspected(capsys, str(trained_run.path), "--neurons", "--file", long_text, "--json"))
    assert data["neurons"][0]["gain"] >= data["neurons"][1]["gain"] and "quotes" in data["left_out"]
    data = json.loads(inspected(capsys, str(trained_run.path), "--attribution", "--text", "Th", "--at", "1", "--json"))
    [found] = data["attributions"]
    assert found["characters"][0]["left_out"] is None and found["log_probability"] < 0


def test_they_are_drawn_and_saved(trained_run, long_text, capsys, tmp_path):
    pictures = [str(tmp_path / name) for name in ("n.png", "n.svg", "n.npz", "a.png", "a.svg")]
    common = [str(trained_run.path), "--neurons", "--file", long_text]
    shown = inspected(capsys, *common, "--png", pictures[0], "--svg", pictures[1], "--npz", pictures[2])
    assert shown.splitlines() == pictures[:3]
    shown = inspected(
        capsys, str(trained_run.path), "--attribution", "--text", TEXT + "$x$ ", "--unknown", "skip",
        "--png", pictures[3], "--svg", pictures[4],
    )  # fmt: skip
    assert shown.splitlines() == pictures[3:]
    for name in (pictures[0], pictures[3]):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    for name in (pictures[1], pictures[4]):
        assert b"</svg>" in (tmp_path / name).read_bytes()
    with np.load(pictures[2]) as saved:
        assert saved["scores"].shape == (len(saved["features"]), 2, 16)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--neurons", "--text", "The"], 1, "too few to tell a meaning from luck"),
        (["--neurons", "--text", "The", "--unit", "1.16"], 2, "to 2.15"),
        (["--neurons", "--attribution"], 2, "contradict"),
        (["--attribution", "--text", "The", "--at", "4"], 2, "from 1 to 3"),
        (["--attribution", "--text", "The", "--last", "0"], 2, "from 1 to 2000"),
        (["--attribution", "--text", "ж"], 1, "is not among"),
    ],
)
def test_what_cannot_be_is_one_sentence(trained_run, capsys, arguments, status, words):
    assert called(["inspect", str(trained_run.path), *arguments]) == status
    assert words in capsys.readouterr().err
