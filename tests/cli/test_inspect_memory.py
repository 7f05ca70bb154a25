"""`charlstm inspect --memory`: three networks that are trained for a moment, and what is refused."""

import json

import calling
import pytest

from charlstm.display.memory import draw_memory, show_memory
from charlstm.display.plots import save_figure
from charlstm.inspection import memory
from charlstm.inspection.memory import Answers, Recall, Trial


@pytest.fixture(scope="module")
def small():
    """All of it with tiny networks and texts, for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_UNITS": 32, "_TEXT": 3000, "_TEXTS": 4, "_LENGTH": 3000, "_WINDOW": 16}.items():
            patch.setattr(memory, name, value)
        yield patch


@pytest.mark.parametrize("cells", [("gru",), pytest.param(("lstm", "gru", "rnn"), marks=pytest.mark.slow)], ids=len)
def test_cells_of_a_size_are_trained_and_asked(cells, small, monkeypatch, capfd):
    monkeypatch.setattr(memory, "CELLS", cells)
    status = calling.called(["inspect", "--memory", "--minutes", "0.005", "--json"])
    out, err = capfd.readouterr()
    assert (status, err) == (0, "")
    found = json.loads(out)["cells"]
    assert tuple(cell["cell"] for cell in found) == cells
    assert all(1 <= cell["parameters"] / found[0]["parameters"] < 1.1 for cell in found)
    assert all(cell["steps"] >= 2 and cell["characters"] == 256 * cell["steps"] for cell in found)
    for cell in found:
        assert [recall["task"] for recall in cell["recalls"]] == ["copy", "brackets", "agreement"]
        assert all(sum(answers["count"] for answers in recall["answers"]) > 20 for recall in cell["recalls"])


def test_the_table_and_the_picture_say_what_they_rest_on(tmp_path, capfd):
    answers = [Answers(16, 600, 600, 200), Answers(32, 360, 600, 200), Answers(64, 0, 0, 0)]
    trial = Trial("gru", 152, 91_106, 60.2, 4000, 4_096_000, [Recall("copy", "the same again", 0.125, answers)])
    show_memory([trial])
    save_figure(draw_memory([trial]), tmp_path / "memory", "svg")
    out = capfd.readouterr().out
    assert "  GRU, 152 units            100%   60%     -  32\n" in out
    assert "by chance 12.5%" in out and "0 to 200 examples" in out and "4,096,000 characters read in 4,000 steps" in out
    assert b"</svg>" in (tmp_path / "memory").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--memory", "--minutes", "0"], "--minutes is 0.0, but must be from 0.001 to 10,000"),
        (["--memory", "runs/x"], "a run and --memory do not go together"),
        (["--memory", "--lags", "3"], "--lags and --memory do not go together"),
        (["--memory", "--npz", "x"], "--npz and --memory do not go together"),
        (["--memory", "--gradients"], "--gradients and --memory contradict each other"),
        (["--lags", "3"], "--lags is not for the card of a run"),
        (["--gradients", "--minutes", "3"], "--minutes and --gradients do not go together"),
    ],
)
def test_what_does_not_belong_to_it_is_refused(arguments, words, capfd):
    capfd.readouterr()
    assert calling.called(["inspect", *arguments]) == 2
    assert words in " ".join(capfd.readouterr().err.split())
