"""`charlstm inspect RUN`: the card, for people and for programs."""

import dataclasses
import json

import pytest
from calling import called

import charlstm
from charlstm.display.card import show_card
from charlstm.runs.folder import create_run, stage_run
from charlstm.text.vocabulary import Vocabulary


def test_inspect_prints_the_card(trained_run, capsys):
    assert called(["inspect", str(trained_run.path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    card = charlstm.card(trained_run.path)
    assert figures["parameters"] == card.parameters and figures["history"] == card.reports
    assert card.best and figures["best"] == card.best.to_dict()
    assert called(["inspect", str(trained_run.path)]) == 0
    out = capsys.readouterr().out
    assert f"{card.parameters:,} parameters" in out and f"{card.best.loss:.4f} nats" in out and "█" in out


def test_what_was_read_is_counted_in_the_units_of_the_model(trained_run, capsys):
    show_card(dataclasses.replace(charlstm.card(trained_run.path), vocabulary=Vocabulary.of_bytes()))
    [history] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("history")]
    assert "bytes read" in history and "character" not in history


def test_symbols_are_shown_and_not_obeyed(trained_run, tmp_path, capsys):
    rare = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))
    model = dataclasses.replace(trained_run.config.model, vocabulary_size=5004, rare=4000)
    vocabulary = Vocabulary("\x1b[\n\u202e" + rare, rare=4000)
    path = str(create_run(tmp_path / "run", dataclasses.replace(trained_run.config, model=model), vocabulary).path)
    assert called(["inspect", path]) == 0
    out = capsys.readouterr().out
    assert "␛ [ ␤ \\u202e" in out and "\x1b" not in out and "\u202e" not in out
    assert "5,004 characters, 4,000 of them, the last ones, rare" in out and "and 4,492 more" in out
    assert called(["inspect", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vocabulary"]["rare_symbols"] == rare[1000:]


def test_where_there_is_no_run_there_is_no_card(tmp_path, capsys):
    assert called(["inspect", str(tmp_path / "none")]) == 1
    assert "there is no run at" in capsys.readouterr().err


@pytest.mark.parametrize("make", [create_run, stage_run])
def test_what_is_not_there_yet_is_said(make, trained_run, tmp_path, capsys):
    make(tmp_path / "new", trained_run.config, trained_run.vocabulary)
    assert called(["inspect", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert "no reports yet" in out and "none yet: they are saved from the first validation on" in out
    assert ("in the making" in out) == (make is stage_run)


def test_a_card_has_no_picture(trained_run, capsys):
    assert called(["inspect", str(trained_run.path), "--png", "card.png"]) == 2
    assert "--png is not for the card of a run" in capsys.readouterr().err
