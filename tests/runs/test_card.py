"""The card of a run says what is in its files, whatever state the run is in."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import charlstm
from charlstm.runs.card import read_card
from charlstm.runs.folder import create_run, stage_run

FORMAT_1 = Path(__file__).parent / "format-1"


def test_the_card_is_what_the_files_hold(trained_run):
    card = charlstm.card(trained_run.path)
    tensors = load_file(trained_run.weights_path)
    assert {tensor.name: tensor.shape for tensor in card.tensors} == {n: t.shape for n, t in tensors.items()}
    assert card.parameters == sum(tensor.size for tensor in tensors.values())
    assert math.isclose(sum(tensor.share for tensor in card.tensors), 1)
    files = {p.relative_to(trained_run.path).as_posix(): p.stat().st_size for p in trained_run.path.rglob("[!.]*.*")}
    assert card.files == files and card.has_weights and not card.in_the_making
    lines = [json.loads(line) for line in (trained_run.path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] or np.inf for line in lines]
    assert card.best == (card.best and dataclasses.replace(card.best, loss=min(losses)))
    assert card.best and card.best.step == lines[int(np.argmin(losses))]["step"]
    assert card.config == trained_run.config and card.vocabulary == trained_run.vocabulary


@pytest.mark.parametrize("file", [FORMAT_1 / "weights.safetensors", FORMAT_1])
def test_cards_of_the_first_format(file):
    card = read_card(file)
    assert (card.parameters, len(card.vocabulary), card.has_weights) == (384, 32, True)
    assert bool(card.reports) == bool(card.best) == (file == FORMAT_1)


def test_weights_alone_in_a_folder_have_a_card(tmp_path):
    shutil.copy(FORMAT_1 / "weights.safetensors", tmp_path)
    assert read_card(tmp_path).files == {"weights.safetensors": 2928}


@pytest.mark.parametrize("make", [create_run, stage_run])
def test_a_run_without_weights_has_a_card(make, trained_run, tmp_path):
    make(tmp_path / "new", trained_run.config, trained_run.vocabulary)
    card = read_card(tmp_path / "new")
    assert (card.has_weights, card.best, card.reports) == (False, None, [])
    assert card.in_the_making == (make is stage_run)
