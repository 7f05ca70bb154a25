"""How the work of a step is divided: what is asked for is kept, what is chosen fits, and idle devices are named."""

import dataclasses

import pytest
from conftest import training_config
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError
from charlstm.options import TrainOptions
from charlstm.runtime.hosts import Hosts
from charlstm.runtime.mesh import sharing
from charlstm.training import start
from charlstm.training.division import idle_devices, in_parts
from charlstm.training.footprint import step_memory
from charlstm.training.machine import Machine
from charlstm.training.plan import resolve

MODEL = ModelConfig(vocabulary_size=65, layers=1, hidden_size=128, embedding_size=64, dropout=0.0)
ASKED = {"hidden_size": 128, "batch_size": 64, "sequence_length": 512, "steps": 5, "precision": "float32"}


def planned(memory: int | None = None, devices: int = 2, **options: object):
    machine = Machine("float32", 2e11, memory)
    return resolve(TrainOptions(**{**ASKED, **options}), 10**7, 65, devices, None, machine)  # type: ignore[arg-type]


@given(st.integers(20, 400), st.sampled_from([1, 8, 20, 64, 96]), st.sampled_from([1, 31, 512, 4096]))
def test_what_needs_too_much_memory_is_made_in_parts_that_fit_if_any_do(megabytes, batch_size, window):
    whole = training_config(batch_size=batch_size, sequence_length=window)
    found = in_parts(MODEL, whole, 10**6 * megabytes)
    assert dataclasses.replace(found, accumulate=1, chunk_length=None) == whole
    if step_memory(MODEL, whole) <= 10**6 * megabytes:
        assert found == whole
    elif found != whole:
        assert step_memory(MODEL, found) <= 10**6 * megabytes
    else:
        smallest = dataclasses.replace(whole, accumulate=max(1, batch_size // 4), chunk_length=64)
        assert batch_size % 4 or step_memory(MODEL, smallest) > 10**6 * megabytes


def test_streams_are_parted_first_and_windows_where_few_are_left():
    whole = planned().training
    assert (whole.accumulate, whole.chunk_length) == (1, None)
    memory = step_memory(MODEL, whole)
    for share, accumulate, chunk_length in ((0.7, 2, None), (0.2, 1, 64)):
        found = planned(int(share * memory))
        assert (found.training.accumulate, found.training.chunk_length) == (accumulate, chunk_length)
        assert found.notes[0].startswith("to fit into the memory, ")
        assert step_memory(MODEL, found.training) <= share * memory


@pytest.mark.parametrize("share", [2.0, 0.6, 0.2, 0.05])
def test_a_process_needs_memory_for_its_own_streams_only(share):
    whole = training_config(batch_size=64, sequence_length=512)
    own = dataclasses.replace(whole, batch_size=16)
    memory = int(share * step_memory(MODEL, own))
    assert step_memory(MODEL, whole, processes=4) == step_memory(MODEL, own) < step_memory(MODEL, whole)
    parts = in_parts(MODEL, own, memory)
    assert in_parts(MODEL, whole, memory, processes=4) == dataclasses.replace(parts, batch_size=64)


def test_parts_are_shared_evenly_by_processes():
    hosts = Hosts()
    hosts.processes = 2
    options = TrainOptions(batch_size=8, accumulate=8)
    with (
        pytest.raises(ConfigError, match="8 streams in 8 parts cannot be shared evenly by 2 processes"),
        start.starting(options, print, hosts),
    ):
        pass


def test_parts_that_are_given_are_kept():
    memory = step_memory(MODEL, planned().training)
    found = planned(memory // 3, chunk_length=512)
    assert found.training.chunk_length == 512 and found.training.accumulate > 2
    found = planned(memory // 3, accumulate=1)
    assert found.training.accumulate == 1 and found.training.characters_at_once < 512
    assert planned(accumulate=16, chunk_length=100).training.streams_at_once == 4
    found = planned(memory // 3, accumulate=1, chunk_length=512)  # to be refused
    assert (found.training.accumulate, found.training.chunk_length) == (1, 512)


@pytest.mark.parametrize("accumulate", [3, 5, 7])
def test_a_batch_that_is_left_open_can_be_parted(accumulate):
    training = planned(batch_size=None, accumulate=accumulate).training
    assert training.accumulate == accumulate and training.batch_size % accumulate == 0


def test_parts_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match="accumulate is 5, which does not divide batch_size, 64"):
        planned(accumulate=5)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_a_batch_of_a_device_is_one_of_all(devices):
    assert planned(devices=devices, batch_size=None, batch_per_device=6).training.batch_size == 6 * devices


def test_a_batch_is_said_once_and_within_bounds():
    with pytest.raises(ConfigError, match="batch_size and batch_per_device contradict each other"):
        planned(batch_per_device=6)
    with pytest.raises(
        ConfigError, match=r"batch_per_device is 1000000, and there are 8 devices: batch_size is 8000000"
    ):
        planned(devices=8, batch_size=None, batch_per_device=1_000_000)


@given(st.integers(1, 300), st.sampled_from([1, 2, 4]), st.integers(1, 64))
def test_idle_devices_are_named_with_a_batch_that_uses_them(streams, accumulate, devices):
    training = training_config(batch_size=streams * accumulate, accumulate=accumulate)
    notes = idle_devices(training, devices)
    assert bool(notes) == (sharing(streams, devices) < devices)
    if notes:
        batch_size = int(notes[0].split("\ue001")[1].split("\ue002")[0])
        assert batch_size >= training.batch_size
        assert idle_devices(dataclasses.replace(training, batch_size=batch_size), devices) == []


def test_a_run_goes_on_in_smaller_parts_where_there_is_less_memory(make_run, corpus, monkeypatch):
    config = make_run(batch_size=8).config
    notes: list[str] = []
    assert start._in_parts(config, TrainOptions(resume=True), notes) == config.training and not notes
    given_parts = TrainOptions(resume=True, accumulate=2, chunk_length=8)
    found = start._in_parts(config, given_parts, notes)
    assert (found.accumulate, found.chunk_length, notes) == (2, 8, [])
    parted = dataclasses.replace(config, training=found)
    assert parted.without_budget() == config.without_budget()
    monkeypatch.setattr(start, "available_memory", lambda: step_memory(config.model, config.training) - 1)
    found = start._in_parts(config, TrainOptions(resume=True), notes)
    assert found != config.training and notes[0].startswith("to fit into the memory, ")
