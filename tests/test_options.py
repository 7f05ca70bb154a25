"""Options: declared once, and the same for the command line and for Python."""

import dataclasses
import inspect
import pickle
import typing

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

import charlstm
from charlstm.cli import app
from charlstm.display.console import as_flag
from charlstm.errors import ConfigError, setting, worded
from charlstm.options import (
    CompleteOptions,
    CompressOptions,
    EvaluateOptions,
    SampleOptions,
    TrainOptions,
    format_schedule,
    parse_schedule,
)
from charlstm.schema import options_in

KINDS = {
    "train": TrainOptions, "sample": SampleOptions, "evaluate": EvaluateOptions, "complete": CompleteOptions,
    "compress": CompressOptions,
}  # fmt: skip
FUNCTIONS = {
    "train": charlstm.train, "sample": charlstm.LanguageModel.sample, "evaluate": charlstm.LanguageModel.evaluate,
    "complete": charlstm.LanguageModel.complete, "compress": charlstm.LanguageModel.compress,
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_option_is_a_flag_with_the_same_default_and_its_range_in_the_help(name):
    command = typer.main.get_command(app).commands[name]
    flags = {parameter.name: parameter for parameter in command.params}
    for field in dataclasses.fields(KINDS[name]):
        if about := options_in(KINDS[name]).get(field.name):
            flag = flags[field.name]
            assert f"--{field.name.replace('_', '-')}" in flag.opts and flag.default == field.default
            assert not about.bounds or about.bounds.words in flag.help


@pytest.mark.parametrize("name", KINDS)
def test_every_option_is_a_keyword_argument_and_explained(name):
    function = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    for field in dataclasses.fields(KINDS[name]):
        assert parameters[field.name].default == field.default or field.default is dataclasses.MISSING
        assert field.name in inspect.getdoc(function) or field.name not in options_in(KINDS[name])
        if field.name in options_in(KINDS[name]):
            assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY


# What an option makes sense with only.
OTHERS = {
    "average_every": {"distributed": True},
    "processes": {"coordinator": "here:1", "process": 0},
    "process": {"coordinator": "here:1", "processes": 65_536},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_both_ends_of_every_range_are_in_it_and_what_lies_beyond_is_refused_by_name(kind):
    for name, about in options_in(kind).items():
        if about.bounds:
            whole = int in typing.get_args(kind.__annotations__[name]) or kind.__annotations__[name] is int
            for edge in (about.bounds.low, about.bounds.high):
                others = OTHERS.get(name, {})
                kind(**others | {name: int(edge) if whole else edge})
            for beyond in (-1, about.bounds.high * 2 + 1):
                with pytest.raises(ConfigError, match=f"{name} is"):
                    kind(**{name: beyond})


def test_a_setting_is_worded_for_whoever_reads_it():
    sentence = f"give {setting('top_k', 3)}, {setting('unit', 'byte')}, {setting('resume', True)} or {setting('run')}"
    assert worded(sentence) == "give `top_k=3`, `unit='byte'`, `resume=True` or run"
    assert worded(sentence, as_flag) == "give `--top-k 3`, `--unit byte`, `--resume` or --run"


def test_an_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(ConfigError(f"{setting('top_k')} is 0", f"try {setting('top_k', 1)}")))
    assert error.message == "top_k is 0" == str(error) and error.hint == "try `top_k=1`"


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10**6)), max_size=9), st.integers(1, 10**6))
def test_a_schedule_survives_its_text(more, total):
    lengths = [[0, total]]
    for gap, length in more:
        step = lengths[-1][0] + gap
        lengths += [[step, step + length]] if step + length != lengths[-1][1] else []
    assert parse_schedule(format_schedule(lengths)) == lengths


@pytest.mark.parametrize(
    "text",
    ["", "5", "0:", "1:5", "0:0", "0:5,3:5", "0:5,3:4,3:6", "0:9,9:8", "0:5;3:6", "0:9999999999", "0:-1", "0:1e3"],
)
def test_a_schedule_that_cannot_be_is_refused(text):
    with pytest.raises(ConfigError, match="schedule"):
        TrainOptions(schedule=text)
    with pytest.raises(ConfigError, match="contradict"):
        TrainOptions(schedule="0:5", steps=5)
