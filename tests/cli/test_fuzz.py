"""Whatever is typed ends in work, or in an error of ours."""

import contextlib
import io
from pathlib import Path

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.cli import app, main

COMMANDS = typer.main.get_command(app).commands
# An argument holds no NUL, and bytes that are no UTF-8 come as lone surrogates.
STRINGS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.just("\udcff"), max_size=12)
NUMBERS = st.sampled_from(
    [
        *("0", "-0.0", "1", "-1", "1.5", "1e-50", "1e-320", "1e400", "nan", "inf", "-inf", "0.9999999999999999"),
        *("2147483647", "2147483648", "4294967296", "9" * 25, "9" * 5000, "0x10", "1_000", " 1", "1e3", "½", "٣", ""),
    ]
) | st.one_of(st.integers(), st.floats()).map(str)
CHOICES = ("character", "byte", "error", "skip", "float32", "bfloat16", "auto", "muon", "adamw", "latin-1", "utf-16")
VALUES = NUMBERS | STRINGS | st.sampled_from(CHOICES)
# What is read and written must not exist, or it would be of the machine that runs the tests.
PATHS = ("run", "init_from", "prompt_file", "prompts", "load_state", "save_state", "output", "model")
MISSING = STRINGS.map("nowhere/".__add__)
FUZZED = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def words_for(parameter) -> st.SearchStrategy[list[str]]:
    """A flag with a value that it may or may not take."""
    flags = st.sampled_from([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return flags.map(lambda flag: [flag])
    values = MISSING if parameter.name in PATHS else VALUES
    return st.tuples(flags, values).map(list) | st.tuples(flags, values).map(lambda both: ["=".join(both)])


def lines_of(name: str, min_arguments: int) -> st.SearchStrategy[list[str]]:
    """Command lines of a command."""
    flags = [each for each in COMMANDS[name].params if each.param_type_name == "option" and each.name != "help"]
    some = st.lists(st.sampled_from(flags).flatmap(words_for), max_size=4)
    arguments = st.lists(MISSING, min_size=min_arguments, max_size=3)
    return st.tuples(some, arguments).map(lambda both: [name, *(word for words in both[0] for word in words), *both[1]])


def check(line: list[str], folder: Path) -> None:
    """Run a command line: it works, or says why not and leaves nothing behind."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(folder):
        with pytest.raises(SystemExit) as end:
            main(line)
        status = end.value.code or 0
        assert status in (0, 1, 2) and "Traceback" not in err.getvalue(), err.getvalue()
        assert status == 0 or (err.getvalue().strip() and not list(Path().iterdir()))


@pytest.mark.parametrize(
    ("name", "min_arguments"),
    [("train", 1), ("sample", 0), ("complete", 0), ("evaluate", 0), ("plot", 0), ("compress", 1)],
)
@given(data=st.data())
@FUZZED
def test_whatever_is_typed_is_work_or_an_error(tmp_path, name, min_arguments, data):
    check(data.draw(lines_of(name, min_arguments)), tmp_path)


@given(st.lists(STRINGS, max_size=3))
@FUZZED
def test_what_is_no_command_is_an_error(tmp_path, line):
    check([*line, "--no-such-flag"], tmp_path)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e400", "x", "", "9" * 5000])
def test_a_benchmark_of_no_time_is_an_error(tmp_path, seconds):
    check(["benchmark", "--seconds", seconds], tmp_path)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                *("--temperature", "--top-k", "--top-p", "--min-p", "--typical", "--repetition"),
                *("--lines", "--seed"),
            ],
            NUMBERS,
        ),
    ),
    st.fixed_dictionaries({}, optional=dict.fromkeys(["--prompt", "--until", "--only", "--ban"], STRINGS)),
    st.sampled_from(["1", "5"]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_model_can_be_sampled_with_whatever_is_allowed(tmp_path, trained_run, filters, prompt, length):
    flags = [f"{name}={value}" for name, value in (filters | prompt).items()]
    check(["sample", str(trained_run.path), *flags, "--unknown", "skip", "--length", length], tmp_path)
