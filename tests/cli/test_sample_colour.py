"""`charlstm sample --colour`: the text as it is without, each character tinted by its surprise."""

import json
import math
import re
import sys

import pytest
from calling import Stream, ended
from rich.console import Console

from charlstm.cli.tinted import as_characters
from charlstm.display.heatmap import LEVELS, level_of
from charlstm.display.visible import visible
from charlstm.sampling.ends import Watch
from charlstm.sampling.samples import Sample
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary.of_characters("\nabcdef")
UNITS = {
    "character": Vocabulary.of_characters("abcdef"),
    "byte": Vocabulary.of_bytes(),
    "documents": ABC.with_boundary("\n"),
}


@pytest.fixture
def model(save_random_model):
    return save_random_model


@pytest.fixture
def colours(monkeypatch):
    """Standard output shows 256 colours."""
    for level in LEVELS:
        level.tint._ansi = None  # Rich keeps the codes of the first console, of whatever colours that is
    console = Console(force_terminal=True, color_system="256", width=200, _environ={})
    monkeypatch.setattr("charlstm.display.console.out", console)


def plain(written: bytes) -> str:
    """Without tints, and without the tinted space before a line end."""
    return re.sub(r" ?\n", "\n", re.sub(r"\x1b\[[\d;]*m", "", written.decode()))


def tints(written: bytes) -> list[str]:
    """The background of each character that is shown, empty where there is none."""
    found = re.findall(r"\x1b\[([\d;]*)m(.*?)\x1b\[0m|([^\x1b])", written.decode(), flags=re.S)
    return [codes.rpartition(";")[2] for codes, text, alone in found for _ in text or alone]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("more", [["--count", "2"], ["--echo"]], ids=["two", "one"])
def test_without_its_tints_it_is_the_text(monkeypatch, model, colours, unit, more):
    command = [model(UNITS[unit]), "--seed", "5", "--length", "300", "--ban", "' '", "--prompt", "ab", *more]
    if unit != "byte":
        command = [each for each in command if each not in ("--ban", "' '")]
    expected = ended(monkeypatch, *command)[0].decode("utf-8", "surrogateescape")
    for spelling in ("--colour", "--color"):
        written, status = ended(monkeypatch, *command, spelling)
        assert status == 0 and b"48;5;" in written
        assert plain(written).replace(" ", "") == visible(expected).expandtabs(8).replace(" ", "")


def test_documents_are_tinted_too(monkeypatch, model, colours):
    command = [model(UNITS["documents"]), "--seed", "5", "--documents", "3"]
    written, status = ended(monkeypatch, *command, "--colour")
    expected = visible(ended(monkeypatch, *command)[0].decode())
    assert status == 0 and plain(written).replace(" ", "") == expected.expandtabs(8).replace(" ", "")


def test_each_character_has_the_tint_of_its_log_probability(monkeypatch, model, colours):
    command = [model(UNITS["character"]), "--seed", "5", "--length", "300", "--temperature", "3"]
    surprise = [
        -log / math.log(2) for log in json.loads(ended(monkeypatch, *command, "--json")[0])["log_probabilities"]
    ]
    expected = [level_of(bits).tint for bits in surprise]
    found = tints(ended(monkeypatch, *command, "--colour")[0])
    assert found == [str(style.bgcolor.downgrade(2).number) if style else "" for style in expected]


def test_without_colours_the_text_is_exact(monkeypatch, model):
    command = [model(ABC), "--seed", "5", "--length", "300"]
    assert ended(monkeypatch, *command, "--colour") == ended(monkeypatch, *command)


@pytest.mark.parametrize("flag", [["--json"], ["--output", "f"]], ids=str)
def test_what_has_no_colours_is_refused(monkeypatch, model, flag, capfd):
    assert ended(monkeypatch, model(ABC), "--colour", *flag) == (b"", 2)
    assert f"--colour and {flag[0]} contradict" in capfd.readouterr().err


def test_ctrl_c_leaves_what_was_written(monkeypatch, model, colours):
    chunks, cut = iter(range(10**6)), Watch.cut

    def interrupted(*chunk):
        if next(chunks) == 3:
            raise KeyboardInterrupt
        return cut(*chunk)

    command = [model(UNITS["character"]), "--seed", "1", "--length"]
    with monkeypatch.context() as changed:
        changed.setattr("charlstm.sampling.ends.Watch.cut", interrupted)
        written, status = ended(changed, *command, "0", "--colour")
    whole = ended(monkeypatch, *command, "384")[0].decode()
    assert status == 130 and whole.startswith(plain(written)) and len(plain(written)) >= 384 - 64


def test_what_is_written_is_dropped_unless_its_novelty_is_wanted():
    sample = Sample("", 0, ABC, pieces=["ab"], ids=[1, 2], log_probabilities=[-1.0, -2.0])

    def growing():
        yield [sample]
        sample.pieces.append("c")
        sample.ids.append(3)
        sample.log_probabilities.append(-3.0)
        sample.ended = "length"
        yield [sample]

    for is_kept in (True, False):
        sample.ended = None
        found = list(as_characters(iter([growing()]), lambda *_: b"", several=False, is_kept=is_kept))
        assert [(each.text, each.nats) for each in found][-1] == ("c", 3.0)
        assert ("".join(sample.pieces) == "") != is_kept


def test_a_legend_is_on_a_terminal_only(monkeypatch, model, colours):
    for terminal in (False, True):
        err = Stream(terminal=terminal)
        monkeypatch.setattr(sys, "stderr", err)
        ended(monkeypatch, model(ABC), "--length", "5", "--colour", "--seed", "1")
        assert ("bits of surprise" in err.written.decode()) == terminal


@pytest.mark.parametrize("flags", [[], ["--count", "2"], ["--json"], ["--colour"]], ids=str)
def test_novelty_is_said_of_each_sample(monkeypatch, trained_run, text_file, capfd, flags):
    command = [str(trained_run.path), "--length", "90", "--seed", "1", "--own-text", str(text_file)]
    written, status = ended(monkeypatch, *command, "--novelty", *flags)
    err = capfd.readouterr().err
    assert status == 0
    if "--json" in flags:
        found = json.loads(written)
        new = found["novelty"]
        assert new["span"] in found["text"] and new["span"] in text_file.read_text("utf-8")
        assert new["longest_span"] == len(new["span"]) and 0 <= new["new_20_grams"] <= 1
    else:
        assert err.count("longest span from the training text: ") == (2 if "--count" in flags else 1)
    assert "--own-text is for --novel" in (ended(monkeypatch, *command), capfd.readouterr().err)[1]
