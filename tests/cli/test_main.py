"""What all commands have in common: streams that fail, and what is a bug."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from charlstm import __version__
from charlstm.cli import main
from charlstm.display import tables

VERSE = "The salt road runs from hill to sea,\nand who goes out comes home to tea.\n" * 12
TRAIN = ["train", "verse.txt", "--run", "run", "--hidden-size", "8", "--steps", "4", "--precision", "float32"]


def status_of(*arguments: str) -> int:
    """The exit status of a command, run in this process."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


class Failing(io.StringIO):
    """A stream to which nothing can be written, after `letters`."""

    def __init__(self, error: OSError, letters: int = 0) -> None:
        super().__init__()
        self.error, self.letters = error, letters

    @property
    def buffer(self) -> "Failing":
        return self

    def write(self, text: str | bytes) -> int:
        self.letters -= len(text)
        if self.letters < 0:
            raise self.error
        return super().write(str(text))


FULL, VANISHED = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a text in it."""
    monkeypatch.chdir(tmp_path)
    Path("verse.txt").write_bytes(VERSE.encode())
    return tmp_path


COMMANDS = ["sample RUN --seed 1", "evaluate RUN TEXT", "evaluate RUN TEXT --json", "corpora", "--help", "--version"]


@pytest.mark.parametrize("stdout", [None, FULL], ids=["closed", "full"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_result_that_nobody_gets_is_an_error(monkeypatch, capsys, trained_run, text_file, command, stdout):
    monkeypatch.setattr(sys, "stdout", stdout and Failing(stdout))
    words = {"RUN": str(trained_run.path), "TEXT": str(text_file)}
    assert status_of(*(words.get(word, word) for word in command.split())) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("error: ") == 1 and "standard output" in err


@pytest.mark.parametrize("stderr", [None, FULL, VANISHED, BrokenPipeError()], ids=repr)
def test_a_remark_that_nobody_gets_ends_nothing(monkeypatch, capsys, here, trained_run, stderr):
    monkeypatch.setattr(sys, "stderr", stderr and Failing(stderr))
    assert status_of("sample", str(trained_run.path), "--length", "20") == 0
    assert len(capsys.readouterr().out) >= 20
    assert status_of("train", "nowhere") == 1 and status_of("train", "--no-such-flag") == 2
    if stderr is VANISHED:
        assert status_of(*TRAIN) == 0 and Path("run/weights.safetensors").exists()


@pytest.mark.parametrize(
    ("stdout", "status", "remark"),
    [
        (lambda: None, 1, "standard output is closed; training goes on"),
        (lambda: Failing(FULL, 2000), 1, "cannot write standard output: No space left on device; training goes on"),
        (lambda: Failing(BrokenPipeError(), 2000), 0, "nobody reads standard output any more; training goes on"),
    ],
    ids=["closed", "full", "reader gone"],
)
def test_training_goes_on_without_anybody_who_gets_its_events(monkeypatch, capsys, here, stdout, status, remark):
    stream = stdout()
    monkeypatch.setattr(sys, "stdout", stream)
    assert status_of(*TRAIN, "--json") == status
    err = capsys.readouterr().err
    assert err.count(remark) == 1 and err.count("error: ") == (status == 1) and "Traceback" not in err
    assert json.loads(Path("run/metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"] == 4
    assert Path("run/weights.safetensors").exists()
    if stream:
        assert json.loads(stream.getvalue().splitlines()[0])["event"] == "started"


@pytest.mark.parametrize("error", [RuntimeError("\x1b[2Jwhat"), RecursionError("deep"), AssertionError(), OSError(5)])
def test_a_bug_shows_its_traceback_and_asks_to_be_reported(monkeypatch, capsys, error):
    def fail(_rows: object) -> None:
        raise error

    monkeypatch.setattr(tables, "show_corpora", fail)
    assert status_of("corpora") == 70
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Traceback") and type(error).__name__ in err and "\x1b" not in err
    last = err.splitlines()[-1]
    assert last.startswith(f"This is a bug of charlstm {__version__} (Python 3.") and "JAX " in last
    assert "report it with the lines above" in last


def test_too_little_memory_is_no_bug(monkeypatch, capsys):
    def fail(_rows: object) -> None:
        raise MemoryError

    monkeypatch.setattr(tables, "show_corpora", fail)
    assert status_of("corpora") == 1
    assert capsys.readouterr().err.startswith("error: the memory of this machine is not enough\n")


def test_an_interrupt_is_no_bug(monkeypatch, capsys):
    def fail(_rows: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "show_corpora", fail)
    assert status_of("corpora") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--\x1b[2Jx"], ["a\x1b[2J"], ["train", "\x1b[2J"], ["sample", "a", "b\x1b[2J"]])
def test_what_was_typed_is_shown_and_not_obeyed(capsys, arguments):
    assert status_of(*arguments) in (1, 2)
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_text_through_a_pipe_is_trained_on_and_found_again(capsys, here):
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(VERSE.encode(),))
    writer.start()
    assert status_of("train", "pipe", *TRAIN[4:], "--quiet") == 0
    writer.join()
    Path("pipe").unlink()
    assert status_of("evaluate", "runs/stdin", "--json") == 0
    assert '"loss"' in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="no such terminals there")
def test_a_terminal_that_vanishes_ends_nothing(here):
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "charlstm", *TRAIN], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and b"trained 4 steps" in out
    assert Path("run/weights.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="its Ctrl-C is no signal that a process can send to itself")
def test_ctrl_c_while_something_is_imported_ends_the_program_at_once(tmp_path):
    (tmp_path / "interrupted.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n", "utf-8")
    within = "from charlstm.cli.signals import ending_cleanly\nwith ending_cleanly():\n    "
    ended = {}
    for program in ("import interrupted", "import signal; signal.raise_signal(signal.SIGINT)"):
        command = [sys.executable, "-c", within + program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        ended[program] = done.returncode, "KeyboardInterrupt" in done.stderr, done.stderr == ""
    assert list(ended.values()) == [(-signal.SIGINT, False, True), (-signal.SIGINT, True, False)]


def test_the_program_is_loaded_without_a_trace_of_ctrl_c(tmp_path):
    """Its entry lets the system end it until there is somebody to say a word."""
    program = (
        "import builtins, signal\nimport charlstm.__main__ as entry\nreal = builtins.__import__\n"
        "def spy(name, *rest, **more):\n"
        "    if name == 'charlstm.cli':\n        print(signal.getsignal(signal.SIGINT) is signal.SIG_DFL)\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = spy\nentry.main()"
    )
    done = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "True" and __version__ in done.stdout and done.returncode == 0
