"""The reports of a run: whole lines only, and none that was changed."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import StorageError
from charlstm.runs.metrics import KEYS, Metrics


def report(step: int, **values: object) -> dict[str, object]:
    """A report with all keys."""
    return dict.fromkeys(sorted(KEYS), 0.5) | {"step": step, "characters": 64 * step, "validation_loss": None} | values


REPORTS = [report(step, loss=2.5 / step) for step in range(1, 6)]


@pytest.fixture
def metrics(tmp_path):
    """Metrics of five reports."""
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append(REPORTS[:2])
    metrics.append(REPORTS[2:])
    return metrics


def test_reports_come_back_and_are_lines_of_json(metrics):
    assert metrics.read() == REPORTS
    assert [json.loads(line)["step"] for line in metrics.path.read_text("utf-8").splitlines()] == [1, 2, 3, 4, 5]


@given(st.data())
def test_a_changed_byte_costs_its_line_and_never_gives_another_number(tmp_path_factory, data):
    metrics = Metrics(Path(tmp_path_factory.mktemp("metrics"), "metrics.jsonl"))
    metrics.append(REPORTS)
    damaged = bytearray(metrics.path.read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    metrics.path.write_bytes(damaged)
    found = metrics.read()
    assert len(found) >= len(REPORTS) - 2  # a line end that was lost makes one line of two
    assert all(report in REPORTS for report in found)


def test_what_is_not_finite_is_null(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append([report(1, loss=math.nan)])
    assert metrics.read() == [report(1, loss=None)]


def test_lines_of_earlier_versions_have_no_checksum(metrics):
    line = dict.fromkeys(KEYS, 1)
    metrics.path.write_text(f"{json.dumps(line)}\n[1]\n7\n" + "[" * 100_000 + "\n", "utf-8")
    assert metrics.read() == [line]


def test_what_finds_no_room_leaves_the_lines_before_it_whole(metrics, monkeypatch):
    before = metrics.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        metrics.append([report(6)])
    assert metrics.path.read_bytes() == before


def test_there_may_be_no_reports_yet(tmp_path):
    assert Metrics(tmp_path / "metrics.jsonl").read() == []
