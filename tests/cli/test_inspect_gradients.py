"""`charlstm inspect --gradients`: figures, files, and what it refuses."""

import json
import math

import calling
import numpy as np
import pytest

import charlstm
from charlstm.config import ModelConfig
from charlstm.display.gradients import draw_gradients, show_gradients
from charlstm.display.plots import save_figure
from charlstm.inspection.flow import Curve, Flow
from charlstm.inspection.gradients import GradientFlow


def called(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `charlstm inspect`."""
    capfd.readouterr()
    return calling.called(["inspect", *map(str, arguments)]), *capfd.readouterr()


@pytest.fixture(scope="module")
def run(trained_run):
    """A run of two layers that knows the short text."""
    return trained_run.path


@pytest.fixture
def text(text_file):
    """The text that all tests look at, so that programs are compiled once."""
    return ["--gradients", "--own-text", text_file, "--lags", 9]


def test_a_run_stands_beside_the_three_cells(run, text, capfd):
    status, out, err = called(capfd, run, *text)
    assert (status, err) == (0, "")
    for words in (
        "this run, LSTM",
        "at initialisation, GRU",
        "at initialisation, RNN",
        "carousel 2",
        "of the validation",
    ):
        assert words in out


def test_json_and_arrays_have_the_figures_of_python(run, text, text_file, tmp_path, capfd):
    path = tmp_path / "flow.npz"
    out = called(capfd, run, *text, "--beside", run, "--json", "--npz", path)[1]
    found, own = json.loads(out), charlstm.load(run).gradient_flow(lags=9, own_text=text_file)
    first, *_, beside = found["models"]
    assert [model["cell"] for model in found["models"]] == ["lstm", "lstm", "gru", "rnn", "lstm"]
    assert (beside["name"], beside["growth"]) == (str(run), first["growth"])
    assert first["growth"]["nats_per_character"] == pytest.approx(own.flows[0].growth)
    assert first["growth"]["standard_error"] is None  # of a single window
    arrays = np.load(path)
    assert list(arrays["models"])[2] == "at initialisation: gru"
    assert arrays["models.0.layers.1.cell"].mean(1).tolist() == pytest.approx(own.flows[0].curves[4].mean.tolist())
    assert first["curves"][4]["log_norm"] == pytest.approx(own.flows[0].curves[4].mean.tolist())
    second = json.loads(called(capfd, run, *text, "--layer", 2, "--json")[1])["models"]
    assert [model["curves"] for model in second] == [
        model["curves"][len(model["curves"]) // 2 :] for model in found["models"][:4]
    ]


def test_pictures_are_drawn(run, text, tmp_path, capfd):
    status, _, err = called(capfd, run, *text, "--png", tmp_path / "a", "--svg", tmp_path / "b")
    assert (status, err) == (0, "")
    assert (tmp_path / "a").read_bytes().startswith(b"\x89PNG")
    assert b"</svg>" in (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "Th"], "are too few to see how gradients flow"),
        (["--layer", "3"], "--layer is 3, but the run has 2"),
        (["--lags", "0"], "--lags is 0, but must be from 1 to 4096"),
        (["--beside", "no/such"], "no/such"),
        (["--text", "The", "--file", "x"], "--text and --file contradict each other"),
    ],
)
def test_what_cannot_be_is_a_sentence(run, arguments, words, capfd):
    status, out, err = called(capfd, run, "--gradients", *arguments)
    assert (status > 0, out) == (True, "") and words in " ".join(err.split())


def test_figures_that_no_number_holds_are_shown(tmp_path, capfd):
    """No gradient at all, as of a head of zeros; one of e^-2000; and one that explodes."""
    lags = np.arange(1, 9.0)[:, None]
    curves = [
        Curve(1, "hidden", np.full((8, 1), -np.inf)), Curve(1, "cell", -250 * lags), Curve(1, "carousel", 2 * lags)
    ]  # fmt: skip
    shape = ModelConfig(vocabulary_size=5, layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    found = GradientFlow([Flow("$x\x1b[2J$", shape, 0.2, math.nan, 1, 30, curves)], "30 characters")
    show_gradients(found)
    save_figure(draw_gradients(found), tmp_path / "flow", "svg")
    out = capfd.readouterr().out
    assert "gradients explode. A small change grows by 0.2000 nats per character, twofold in 3.47 characters" in out
    assert "\x1b[2J" not in out
    hidden, cell, carousel = (
        line.split() for line in out.splitlines() if line.startswith(("hidden  ", "cell", "carou"))
    )
    assert hidden == ["hidden", "-", "-", "0", "0", "0", "0", "▁▁▁▁▁▁▁▁"]
    assert cell == ["cell", "2", "2", "1", "3e-109", "2e-326", "1e-760", "█▁▁▁▁▁▁▁"]
    assert carousel == ["carousel", "-", "-", "1", "7.4", "403", "1e+06", "████████"]
