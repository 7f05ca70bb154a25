"""`charlstm sample`: where its prompt and its model come from, and where its text goes."""

import io
import os
import sys
from pathlib import Path

import pytest

from charlstm.cli import main
from charlstm.config import ModelConfig
from charlstm.display.visible import visible
from charlstm.model.parameters import initial_parameters
from charlstm.runs.weights import save_weights
from charlstm.text.vocabulary import Vocabulary


class Stream(io.TextIOWrapper):
    """Standard output or input that is in memory."""

    def __init__(self, content: bytes = b"", terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(content), encoding, newline="")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def written(self) -> bytes:
        return self.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def model(tmp_path: Path, weights_of):
    """A function that saves a model that writes its vocabulary at random."""

    def make(vocabulary: Vocabulary) -> str:
        shape = ModelConfig(vocabulary_size=len(vocabulary), layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
        path = tmp_path / "model.safetensors"
        save_weights(path, weights_of(shape, vocabulary, initial_parameters(shape, 0)))
        return str(path)

    return make


def sampled(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: bytes = b"", **stream) -> bytes:
    """What `charlstm sample` writes to standard output."""
    out = Stream(**stream)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stdin", Stream(stdin))
    with pytest.raises(SystemExit) as end:
        main(["sample", *arguments, "--seed", "1", "--temperature", "5"])
    assert not end.value.code
    return out.written


UNITS = {
    "character": Vocabulary.of_characters("\x1b[2J\r\n\x9b\u202eé漢\ufeff"),
    "byte": Vocabulary.of_bytes(),
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_on_a_terminal_control_characters_are_shown_and_elsewhere_bytes_are_exact(monkeypatch, model, unit, encoding):
    command = [model(UNITS[unit]), "--length", "400", "--prompt", "é\r"]
    exact = sampled(monkeypatch, *command)
    assert b"\x1b" in exact and exact.startswith("é\r".encode())
    shown = sampled(monkeypatch, *command, terminal=True, encoding=encoding)
    as_text = visible(exact.decode("utf-8", "backslashreplace")) + "\n"
    assert shown == as_text.encode(encoding, "backslashreplace")
    assert not set(shown) & (set(range(0x20)) - {10, 9})


def test_a_prompt_comes_from_wherever_it_is(monkeypatch, model, tmp_path):
    weights = model(Vocabulary.of_characters("HOB:\nThe"))
    (tmp_path / "prompt.txt").write_bytes(b"HOB:\nThe\n")
    (tmp_path / "-").write_bytes(b"The")
    monkeypatch.chdir(tmp_path)
    expected = sampled(monkeypatch, weights, "--prompt", "HOB:\nThe", "--length", "20")
    for way in (["--prompt", r"HOB:\nThe", "--escapes"], ["--prompt-file", "prompt.txt"], ["--prompt-file", "-"]):
        assert sampled(monkeypatch, weights, *way, "--length", "20", stdin=b"HOB:\nThe\r\n") == expected
    kept = ["--keep-newline", "--length", "1", "--prompt-file"]
    assert sampled(monkeypatch, weights, *kept, "prompt.txt")[:-1] == b"HOB:\nThe\n"
    assert sampled(monkeypatch, weights, "--length", "1", "--prompt-file", "./-", stdin=b"HOB")[:-1] == b"The"


def test_bytes_of_a_prompt_are_kept_and_can_be_typed(monkeypatch, model):
    weights = model(Vocabulary.of_bytes())
    piped = sampled(monkeypatch, weights, "--prompt-file", "-", "--length", "1", stdin=b"\xff\0\r\n")
    assert piped[:-1] == b"\xff\0\r\n"
    assert sampled(monkeypatch, weights, "--prompt", r"\xff\0\n", "--escapes", "--length", "1")[:-1] == b"\xff\0\n"


def test_weights_come_from_standard_input_and_from_a_pipe(monkeypatch, model):
    weights = Path(model(Vocabulary.of_characters("abc")))
    expected = sampled(monkeypatch, str(weights), "--length", "20")
    assert sampled(monkeypatch, "-", "--length", "20", stdin=weights.read_bytes()) == expected
    if Path("/dev/fd").exists():
        with weights.open("rb") as file:
            monkeypatch.setattr("charlstm.text.spool.is_read_once", lambda path: True)
            assert sampled(monkeypatch, f"/dev/fd/{file.fileno()}", "--length", "20") == expected


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--prompt", r"a\b"], 1, "`--escapes` reads"),
        (["--prompt", r"a\b", "--escapes"], 2, r"--prompt holds \b, which is no escape"),
        (["--escapes"], 2, "--escapes is for --prompt"),
        (["--keep-newline", "--prompt", "a"], 2, "--keep-newline is for --prompt-file"),
        (["--prompt", "a", "--prompt-file", "-"], 2, "contradict each other"),
        (["--prompt-file", "."], 1, "cannot read ."),
        (["--prompt-file", ""], 1, "cannot read ."),
    ],
)
def test_what_cannot_be_a_prompt_is_refused(model, capfd, arguments, status, words):
    with pytest.raises(SystemExit) as end:
        main(["sample", model(Vocabulary.of_characters("abc")), *arguments])
    out, err = capfd.readouterr()
    assert end.value.code == status and out == "" and words in err


def test_standard_input_is_one_thing_only(capfd):
    for arguments in (["sample", "-", "--prompt-file", "-"], ["evaluate", "-", "-"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2 and "standard input cannot be both" in capfd.readouterr().err


def test_a_home_folder_is_meant_where_a_shell_left_it_alone(monkeypatch, model):
    path = Path(model(Vocabulary.of_characters("abc")))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(path.parent))
    path.with_name("prompt").write_bytes(b"ab\n")
    assert sampled(monkeypatch, f"~{os.sep}{path.name}", "--prompt-file", "~/prompt", "--length", "1")[:2] == b"ab"


@pytest.mark.parametrize("filters", [["--top-p", "1e-50"], ["--top-p", "1e-320", "--top-k", "2"]], ids=str)
def test_a_share_that_float32_cannot_hold_is_the_likeliest_character(monkeypatch, model, filters):
    weights = model(Vocabulary.of_characters("abcdef"))
    found = sampled(monkeypatch, weights, "--length", "30", *filters)
    assert found == sampled(monkeypatch, weights, "--length", "30", "--top-k", "1")
