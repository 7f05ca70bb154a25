"""`charlstm sample --interactive`: keys at a terminal, lines of a pipe, commands."""

import os
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from calling import Stream
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import charlstm
from charlstm.cli import interactive, main
from charlstm.cli.commands import obey
from charlstm.cli.writer import Writer
from charlstm.errors import ConfigError, StorageError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A history of its own."""
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def model(trained_run) -> charlstm.LanguageModel:
    return charlstm.load(trained_run.path)


def test_without_any_input_there_are_no_turns(trained_run, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as end:
        main(["sample", "-i", str(trained_run.path)])
    assert end.value.code == 1 and "there is no standard input to read" in capfd.readouterr().err


@pytest.fixture
def talk(trained_run, monkeypatch):
    """A function that runs `sample -i`: what is on stdout and stderr, and the exit status."""

    def run(*arguments: str, keys: str | None = None, lines: bytes = b"") -> tuple[str, str, int]:
        at_terminal = keys is not None
        out, err = Stream(terminal=at_terminal), Stream()
        for name, stream in (("stdin", Stream(lines, at_terminal)), ("stdout", out), ("stderr", err)):
            monkeypatch.setattr(sys, name, stream)
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_text(keys or "")
            with pytest.raises(SystemExit) as end:
                main(["sample", "-i", str(trained_run.path), "--seed", "5", "--length", "40", *arguments])
        return out.written.decode(), err.written.decode(), int(end.value.code or 0)

    return run


END = "\x04"  # Ctrl-D
PASTE = "\x1b[200~{}\x1b[201~"


def test_turns_at_a_terminal_and_through_a_pipe_are_those_of_a_session(model, talk):
    session = model.session(seed=5, length=40)
    first = "".join(session.turn("The salt"))
    second = "".join(session.turn(""))
    expected = f"The salt{first}\n{second}\n"
    assert talk(keys="The salt\r\r" + END) == (expected, "", 0)
    assert talk(lines=b"The salt\r\n\n") == (expected, "", 0)
    assert talk("--prompt", "The salt", lines=b"\n") == (expected, "", 0)
    assert talk("--no-echo", lines=b"The salt\n\n") == (f"{first}\n{second}\n", "", 0)


def test_what_is_pasted_is_one_turn_and_alt_enter_is_a_line_end(model, talk):
    expected = f"The salt\nThe sea{model.sample('The salt' + chr(10) + 'The sea', seed=5, length=40)}\n"
    assert talk(keys=PASTE.format("The salt\nThe sea") + "\r" + END)[0] == expected
    assert talk(keys="The salt\x1b\rThe sea\r" + END)[0] == expected


def test_a_line_can_be_edited_and_cleared_and_one_that_is_refused_comes_back(model, talk):
    expected = f"The salt{model.sample('The salt', seed=5, length=40)}\n"
    out, err, status = talk(keys="what\x03Thé salt\r" + "\x1b[D" * 5 + "\x7fe\r" + END)
    assert (out, status) == (expected, 0) and "'é' (U+00E9) is not among" in err
    out, err, status = talk(lines="Thé salt\nThe salt\n".encode())
    assert (out, status) == (expected, 1) and err.count("error: ") == 1


def test_commands_change_the_session(model, talk, tmp_path):
    path = tmp_path / "saved"
    lines = [
        "/temperature 0.5",
        "The salt",
        "/again",
        f"/save {path}",
        "/undo",
        "/reset",
        "/temprature 1",
        "\x03/top-p 2",
    ]
    session = model.session(seed=5, length=40, temperature=0.5)
    first = "".join(session.turn("The salt"))
    session.undo()
    second = "".join(session.turn("The salt"))
    out, err, status = talk(keys="\r".join(lines) + "\r\x03" + END)
    assert (out, status) == (f"The salt{first}\nThe salt{second}\n", 0)
    assert path.read_text("utf-8") == f"The salt{second}"
    for words in ("/temperature 0.5", "48 characters saved in", "is taken back", "all is forgotten"):
        assert words in err
    assert "there is no command /temprature\nhint: did you mean /temperature?" in err
    assert "/top-p is 2.0, but must be above 0, up to 1" in err


def test_text_that_cannot_be_written_ends_a_session(talk, monkeypatch):
    def full(_: str | bytes) -> None:
        raise StorageError("cannot write standard output")

    monkeypatch.setattr("charlstm.display.console.write", full)
    assert talk(lines=b"The salt\n/help\n") == ("", "error: cannot write standard output\n", 1)


def test_two_slashes_are_one(model):
    assert interactive._obeyed(model.session(), "//x") == "/x"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "value", "shown"),
    [
        ("seed", "-", "/seed -"), ("documents", "-", "/documents -"),
        ("top-k", "3", "/top-k 3"), ("seed", "", "/seed 7"), ("until", r"\n\n", r"/until \n\n"),
        ("until", "-", "/until -"),
        ("only", "letters", "/only letters"), ("lines", "2", "/lines 2"), ("unknown", "skip", "/unknown skip"),
        ("length", "0", "/length 0"), ("ban", "", "/ban -"),
    ],
)  # fmt: skip
def test_an_option_is_changed_or_shown(model, command, value, shown):
    session = model.session(seed=7)
    assert obey(session, command, value) == shown
    assert shown in obey(session, "help", "")


def test_the_texts_that_end_a_turn_are_shown_as_they_can_be_typed(model):
    for until in ("\n", ["\n"]):
        assert obey(model.session(until=until), "until", "") == r"/until \n"
    assert obey(model.session(until=["a", "c"]), "until", "") == "/until a, c"
    assert obey(model.session(until=[]), "until", "") == "/until -"


@pytest.mark.parametrize(
    ("command", "value", "words"),
    [
        ("top-k", "x", "is no whole number"), ("top-p", "-", "is no number"), ("temperature", "nan", "must be from 0"),
        ("unknown", "x", "must be 'error' or 'skip'"), ("until", r"\q", "holds \\q"), ("", "", "no command /"),
        ("save", "", "needs the name"), ("save", ".", "not a file"), ("undo", "", "no turn"),
        ("state", "x", "no command"),
        ("\x1b[2J", "", "no command"),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_obeyed_is_one_sentence(model, command, value, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        obey(model.session(), command, value)


@pytest.mark.parametrize("name", ["no/where", "x" * 5000, "a\0b"])
def test_a_text_that_cannot_be_saved_is_one_sentence(model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="cannot write"):
        obey(model.session(), "save", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags",
    [
        ["--json"], ["--output", "x"], ["--count", "2"], ["--prompts", "x"], ["--novel", "--documents", "1"],
        ["--novelty"], ["--colour"],
    ],
)  # fmt: skip
def test_what_is_no_matter_of_turns_is_refused(talk, flags):
    out, err, status = talk(*flags)
    assert (out, status) == ("", 2) and "--interactive and" in err


def typed(model, keys: list[str]) -> tuple[str, list[str]]:
    """The line that comes of `keys`, each sent once there is a suggestion for those before it; and the suggestions."""
    session, shown = model.session(length=40), list[str]()
    session.predict("")
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        writer = Writer(session)

        def send() -> None:
            for key in keys:
                until = time.monotonic() + 20
                while not writer.found and time.monotonic() < until:
                    time.sleep(0.001)
                suggestion = writer.buffer.suggestion
                shown.append(suggestion.text if suggestion else "")
                before = writer.buffer.text
                pipe.send_text(key)
                while writer.buffer.text == before and key not in ("\x0e", "\r") and time.monotonic() < until:
                    time.sleep(0.001)
                time.sleep(0.05 if key == "\x0e" else 0)
            pipe.close()

        thread = threading.Thread(target=send)
        thread.start()
        line = writer.ask()
        thread.join()
    return line, shown


def test_what_is_expected_stands_in_grey_and_tab_takes_it(model):
    line, shown = typed(model, ["T", "h", "\x7f", "h", "\t", "\x1b[C", "\x0e", "\t", "\r"])
    for text, suggestion in (("T", shown[1]), ("Th", shown[2]), ("T", shown[3]), ("Th", shown[4])):
        assert suggestion == model.complete(text, top=5)[0].text
    first = "Th" + shown[4]
    second = first + model.complete(first, top=5)[0].text
    assert shown[5] == second[len(first) :].replace("\n", "␤") and line.startswith(second)
    assert line == second + model.complete(second, top=5)[1].text


def test_a_history_is_kept_for_its_owner_alone_and_its_loss_is_no_error(talk, tmp_path):
    talk(keys="The salt\r" + END)
    path = tmp_path / "cache/history/sample"
    assert b"+The salt\n" in path.read_bytes()
    assert os.name == "nt" or path.stat().st_mode & 0o77 == 0
    first = talk(keys="The salt\r" + END)
    assert talk(keys="\x1b[A\r" + END)[0] == first[0]  # the arrow up
    path.write_bytes(b"\n# x\n+a\n" * 200_000)
    assert talk(keys="The salt\r" + END) == first and path.stat().st_size < 600_000
    path.unlink()
    path.mkdir()
    assert talk(keys="The salt\r" + END) == first


@pytest.mark.skipif(os.name == "nt", reason="no such terminals there")
def test_at_a_real_terminal_ctrl_c_stops_the_text_and_ctrl_d_ends_the_session(trained_run, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    program = (
        "import fcntl, os, termios, sys\n"
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from charlstm.cli import main\nmain(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "sample", "-i", str(trained_run.path), "--length", "0", "--seed", "5"]
    environment = os.environ | {"PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)

    def wait_for(pattern: bytes, more: int = 0) -> bytes:
        seen = b""
        while not re.search(pattern, seen, re.DOTALL) or len(seen) < more:
            assert select.select([ours], [], [], 30)[0], seen
            seen += os.read(ours, 65_536)
        return seen

    wait_for(b"> ")
    os.write(ours, b"The salt\r")
    wait_for(b"The salt", 3000)  # it is being written
    os.write(ours, b"\x03")
    assert b"^C" not in wait_for(b"> "), "what is typed meanwhile is not in the text"
    os.write(ours, b"\x1b[200~/temperature\x1b[201~\r")
    wait_for(b"/temperature 1.*> ")
    os.write(ours, b"\x04")
    assert process.wait(30) == 0
    os.close(ours)
