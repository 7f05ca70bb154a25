"""`charlstm compare` and `charlstm plot --over`: tables, curves and JSON."""

import json

import pytest
from calling import called

import charlstm
from charlstm.display.comparison import _resampled


def test_runs_are_shown_side_by_side(trained_run, text_file, tmp_path, capsys):
    weights, picture = trained_run.weights_path, tmp_path / "curves.svg"
    arguments = ["compare", str(trained_run.path), str(weights), "--file", str(text_file)]
    assert called([*arguments, "--output", str(picture)]) == 0
    out = capsys.readouterr().out
    score = charlstm.compare([trained_run.path] * 2, file=text_file).models[0].score
    assert f"{score.loss:.4f}" in out and "+0.0000" in out and f"{score.characters:,} characters" in out
    assert "over characters read" in out and "over time" in out and "█" in out
    assert "corpus.sources" not in out and "no setting differs" in out
    drawn = picture.read_text("utf-8")
    assert drawn.count("<svg") == 1 and drawn.count('id="axes_') == 2
    assert called([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [each["run"] for each in figures["runs"]] == [str(trained_run.path), str(weights)]
    assert figures["runs"][0]["difference"] is None
    assert figures["runs"][1]["difference"] == {"loss": 0.0, "standard_error": 0.0, "bits_per_character": 0.0}
    assert figures["runs"][0]["history"] == trained_run.metrics.read()


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["x"], 2), (["none", "none"], 1), (["none", "none", "-o", "curves.xyz"], 2)]
)
def test_what_is_wrong_is_said(arguments, status, capsys):
    assert called(["compare", *arguments]) == status
    assert capsys.readouterr().err


def test_a_picture_that_cannot_be_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "folder.svg").mkdir()
    assert called(["compare", "none", "none", "-o", str(tmp_path / "folder.svg")]) == 2
    assert "folder.svg is not a file" in capsys.readouterr().err


def test_curves_are_drawn_over_time_too(trained_run, tmp_path):
    for over in ("characters", "time"):
        assert called(["plot", str(trained_run.path), "--over", over, "-o", str(tmp_path / f"{over}.svg")]) == 0
    assert (tmp_path / "time.svg").read_text("utf-8") != (tmp_path / "characters.svg").read_text("utf-8")


def test_a_curve_is_as_long_as_its_run():
    assert _resampled([(10, 3.0), (20, 2.0), (40, 1.0)], end=80, width=8) == [3.0, 2.0, 2.0, 1.0]
    assert _resampled([(0, 3.0)], end=0, width=8) == [3.0]
