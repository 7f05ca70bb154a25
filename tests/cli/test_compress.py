"""`charlstm compress` and `decompress`: where files come from and go to, and what is refused."""

import io
import re
import sys
from pathlib import Path

import calling
import pytest

from charlstm.compression import coder
from charlstm.config import ModelConfig
from charlstm.model.parameters import initial_parameters
from charlstm.runs.weights import save_weights
from charlstm.text.vocabulary import Vocabulary

DATA = "Salt\r\n\x1b[2Jand ж tea\n".encode() + b"\xff\0"


@pytest.fixture(scope="module")
def model(tmp_path_factory, weights_of) -> str:
    """The weights file of a small model that has learned nothing."""
    shape = ModelConfig(vocabulary_size=9, layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_weights(path, weights_of(shape, Vocabulary.of_characters("\n Saltedn"), initial_parameters(shape, 0)))
    return str(path)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(DATA)
    return tmp_path


def called(*arguments: str) -> int:
    """The exit status of a command."""
    return calling.called(list(arguments))


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def piped(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_file_and_back(model, capfdbinary):
    assert called("compress", "file", "--model", model) == 0
    size = Path("file.chlz").stat().st_size
    out, err = capfdbinary.readouterr()
    assert out == b"" and Path("file").read_bytes() == DATA
    said = re.fullmatch(r"file: 23 -> (\d+) bytes, ([\d.]+) bits per character, file\.chlz\n", err.decode())
    assert said and int(said[1]) == size and float(said[2]) == pytest.approx(8 * size / 22, abs=1e-3)
    Path("file").unlink()
    assert called("decompress", "file.chlz", "--model", model) == 0
    assert Path("file").read_bytes() == DATA
    assert capfdbinary.readouterr() == (b"", f"file.chlz: {size} -> 23 bytes, file\n".encode())
    assert called("decompress", "file.chlz", "--model", model, "-o", "other", "--quiet") == 0
    assert Path("other").read_bytes() == DATA and capfdbinary.readouterr() == (b"", b"")


@pytest.mark.parametrize("data", [DATA, b""], ids=["some", "none"])
def test_from_standard_input_to_standard_output(model, capfdbinary, monkeypatch, data):
    piped(monkeypatch, data)
    assert called("compress", "-", "--model", model, "--dynamic") == 0
    packed, err = capfdbinary.readouterr()
    assert err.startswith(b"standard input: ") and err.endswith(b"to standard output\n")
    piped(monkeypatch, packed)
    assert called("decompress", "-", "--model", model, "--quiet") == 0
    assert capfdbinary.readouterr() == (data, b"")
    piped(monkeypatch, packed)
    assert called("decompress", "-", "--model", model, "-o", "out") == 0
    assert Path("out").read_bytes() == data


def test_what_is_there_is_replaced_only_if_it_shall_be(model, capfd):
    Path("file.chlz").write_bytes(b"mine")
    assert called("compress", "file", "--model", model) == 1
    assert "file.chlz is there already\nhint: `--overwrite` replaces it" in capfd.readouterr().err
    assert Path("file.chlz").read_bytes() == b"mine"
    assert called("compress", "file", "--model", model, "--overwrite") == 0
    assert called("decompress", "file.chlz", "--model", model) == 1
    assert called("decompress", "file.chlz", "--model", model, "--overwrite") == 0
    assert Path("file").read_bytes() == DATA


def test_a_terminal_is_shown_a_text_and_spared_a_compressed_one(model, capfd, monkeypatch):
    assert called("compress", "file", "--model", model) == 0
    monkeypatch.setattr(sys, "stdout", shown := Terminal(io.BytesIO(), "utf-8"))
    assert called("decompress", "file.chlz", "--model", model, "-o", "-") == 0
    text = shown.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "ж tea" in text and "\x1b" not in text
    assert called("compress", "file", "--model", model, "-o", "-") == 2
    assert "not for a terminal" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["compress", "nowhere"], 1, "there is no file nowhere"),
        (["compress", "."], 1, "cannot read ."),
        (["compress", "file", "-o", "."], 2, ". is not a file"),
        (["compress", "file", "-o", "no/where"], 1, "cannot write no/where"),
        (["compress", "file", "-o", "x" * 5000], 1, "cannot write xxx"),
        (["compress", "x" * 5000], 1, "cannot read xxx"),
        (["compress", "file", "--model", "nowhere"], 1, "nowhere"),
        (["decompress", "file"], 2, "does not end in .chlz"),
        (["decompress", "file", "-o", "out"], 1, "file is not a file that charlstm has compressed"),
        (["decompress", "cut.chlz"], 1, "cut.chlz is damaged or cut short"),
        (["compress", "-", "--model", "-"], 2, "standard input cannot be both"),
        (["decompress", "-", "--model", "-"], 2, "standard input cannot be both"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(here, model, capfd, arguments, status, words):
    Path("cut.chlz").write_bytes(b"CHLZ\1")
    command = arguments if "--model" in arguments else [*arguments, "--model", model]
    assert called(*command) == status
    out, err = capfd.readouterr()
    assert out == "" and words in err and "Traceback" not in err
    assert {path.name for path in here.iterdir()} == {"file", "cut.chlz"}


def test_an_interrupt_leaves_nothing(here, model, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(coder, "walk", interrupted)
    assert called("compress", "file", "--model", model) == 130
    assert {path.name for path in here.iterdir()} == {"file"}
