"""`charlstm inspect --gradients`: figures, files, and what it refuses."""

import json
import math

import calling
import numpy as np
import pytest

import charlstm


def called(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `charlstm inspect`."""
    capfd.readouterr()
    return calling.called(["inspect", *map(str, arguments)]), *capfd.readouterr()


@pytest.fixture(scope="module")
def run(trained_run):
    """A run of two layers that knows the short text."""
    return trained_run.path


def test_a_run_stands_beside_the_three_cells(run, text_file, capfd):
    status, out, err = called(capfd, run, "--gradients", "--lags", 9, "--own-text", text_file)
    assert (status, err) == (0, "")
    for words in (
        "this run, LSTM",
        "at initialisation, GRU",
        "at initialisation, RNN",
        "carousel 2",
        "of the validation",
    ):
        assert words in out


def test_json_and_arrays_have_the_figures_of_python(run, text_file, tmp_path, capfd):
    path, text = tmp_path / "flow.npz", ["--own-text", text_file, "--lags", 9]
    out = called(capfd, run, "--gradients", *text, "--beside", run, "--json", "--npz", path)[1]
    found, own = json.loads(out), charlstm.load(run).gradient_flow(lags=9, own_text=text_file)
    first, *_, beside = found["models"]
    assert [model["cell"] for model in found["models"]] == ["lstm", "lstm", "gru", "rnn", "lstm"]
    assert (beside["name"], beside["growth"]) == (str(run), first["growth"])
    assert first["growth"]["nats_per_character"] == pytest.approx(own.flows[0].growth)
    arrays = np.load(path)
    assert list(arrays["models"])[2] == "at initialisation: gru"
    assert arrays["0.layer2.cell"].mean(1).tolist() == pytest.approx(own.flows[0].curves[4].mean.tolist())
    assert first["curves"][4]["log_norm"] == pytest.approx(own.flows[0].curves[4].mean.tolist())


def test_pictures_are_drawn(run, text_file, tmp_path, capfd):
    text, files = ["--own-text", text_file, "--lags", 9], ["--png", tmp_path / "a", "--svg", tmp_path / "b"]
    status, _, err = called(capfd, run, "--gradients", *text, *files)
    assert (status, err) == (0, "")
    assert (tmp_path / "a").read_bytes().startswith(b"\x89PNG")
    assert b"</svg>" in (tmp_path / "b").read_bytes()


def test_a_short_text_has_few_lags(run, capfd):
    found = json.loads(called(capfd, run, "--gradients", "--text", "The", "--layer", 2, "--json")[1])
    assert [len(curve["log_norm"]) for curve in found["models"][0]["curves"]] == [1, 1, 1]
    assert found["models"][0]["growth"]["standard_error"] is None  # a single window
    assert all(curve["layer"] == 2 for model in found["models"] for curve in model["curves"])


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


def test_an_untrained_head_gives_no_gradient(save_random_model, corpus, text_file, capfd):
    """The head of a model without training is zero: all norms are, and that is said in numbers."""
    model = save_random_model(corpus.vocabulary)
    status, out, _ = called(capfd, model, "--gradients", "--file", text_file, "--lags", 4)
    assert status == 0 and "this run, LSTM: gradients" in out
    found = json.loads(called(capfd, model, "--gradients", "--file", text_file, "--lags", 4, "--json")[1])
    assert found["models"][0]["curves"][0]["log_norm"] == [None] * 4
    assert all(map(math.isfinite, found["models"][1]["curves"][0]["log_norm"]))
