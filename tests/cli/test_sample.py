"""`charlstm sample`: where its prompt and its model come from, and where its text goes."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from calling import Stream, ended

from charlstm.cli import main
from charlstm.display.visible import visible
from charlstm.sampling.ends import Watch
from charlstm.text.vocabulary import Vocabulary


@pytest.fixture
def model(save_random_model):
    return save_random_model


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


ABC = Vocabulary.of_characters("\nabcdef")


def test_several_samples_stand_below_their_seeds_and_are_those_alone(monkeypatch, model, tmp_path):
    weights = model(ABC)
    (tmp_path / "prompts").write_bytes(b"ab\r\n\ncd\n")
    many = ["--count", "2", "--length", "30", "--prompts", str(tmp_path / "prompts")]
    written = sampled(monkeypatch, weights, *many).decode()
    expected = []
    for number, prompt in enumerate(["ab", "ab", "cd", "cd"]):
        alone = ["--prompt", prompt, "--length", "30", "--temperature", "5", "--seed", str(1 + number)]
        text = ended(monkeypatch, weights, *alone)[0].decode()
        expected.append(f"--- prompt {1 + number // 2}, seed {1 + number} ---\n{text}\n")
    assert written == "\n".join(expected)
    shown = sampled(monkeypatch, weights, *many, terminal=True).decode()
    assert shown == written + "\n"


def test_json_is_one_object_a_sample(monkeypatch, model):
    lines = sampled(
        monkeypatch, model(ABC), "--count", "3", "--length", "200", "--json", "--until", "aa", "--prompt", "b"
    )
    found = [json.loads(line) for line in lines.splitlines()]
    assert [each["seed"] for each in found] == [1, 2, 3]
    for each in found:
        assert each["prompt"] == "b" and each["ended"] in ("until", "length")
        assert len(each["log_probabilities"]) == len(each["text"]) and max(each["log_probabilities"]) <= 0
        assert each["settings"]["temperature"] == 5 and each["settings"]["until"] == ["aa"]
        assert (each["ended"] == "until") == each["text"].endswith("aa") == (len(each["text"]) < 200)


def test_bytes_survive_json(monkeypatch, model):
    (line,) = sampled(monkeypatch, model(Vocabulary.of_bytes()), "--length", "300", "--json").splitlines()
    found = json.loads(line)
    assert len(found["text"].encode("utf-8", "surrogateescape")) == 300 == len(found["log_probabilities"])


def test_a_file_is_written_whole_and_nothing_else_is(monkeypatch, model, tmp_path):
    weights, path = model(ABC), tmp_path / "written"
    expected = sampled(monkeypatch, weights, "--length", "50")
    assert sampled(monkeypatch, weights, "--length", "50", "--output", str(path)) == b""
    assert path.read_bytes() == expected
    monkeypatch.setattr("charlstm.sampling.ends.Watch.cut", lambda *_: 1 / 0)
    assert ended(monkeypatch, weights, "--length", "50", "--output", str(path))[1] == 70
    assert path.read_bytes() == expected and {each.name for each in tmp_path.iterdir()} == {
        "model.safetensors",
        "written",
    }


@pytest.mark.parametrize("flags", [[], ["--json"], ["--output", "OUT"]], ids=["text", "json", "file"])
def test_an_endless_text_goes_on_until_ctrl_c_and_what_was_written_is_kept(monkeypatch, model, tmp_path, flags):
    weights, path = model(ABC), str(tmp_path / "written")
    chunks, cut = iter(range(10**6)), Watch.cut

    def interrupted(*chunk):
        if next(chunks) == 20:
            raise KeyboardInterrupt
        return cut(*chunk)

    with monkeypatch.context() as changed:
        changed.setattr("charlstm.sampling.ends.Watch.cut", interrupted)
        flags = [path if flag == "OUT" else flag for flag in flags]
        written, status = ended(changed, weights, "--seed", "1", "--length", "0", *flags)
    assert status == 130
    whole = ended(monkeypatch, weights, "--seed", "1", "--length", str(20 * 128))[0]
    if "--json" in flags:
        found = json.loads(written)
        assert found["ended"] == "interrupted" and found["text"].encode() == whole
    else:
        assert (Path(path).read_bytes() if path in flags else written) == whole


def test_a_state_is_saved_and_gone_on_from(monkeypatch, model, tmp_path):
    weights, state = model(ABC), str(tmp_path / "state")
    whole = sampled(monkeypatch, weights, "--prompt", "abcd", "--length", "30")
    assert sampled(monkeypatch, weights, "--prompt", "ab", "--length", "1", "--save-state", state)[:2] == b"ab"
    assert sampled(monkeypatch, weights, "--prompt", "cd", "--length", "30", "--load-state", state) == whole[2:]


def test_escapes_are_read_in_all_that_is_typed(monkeypatch, model):
    weights = model(ABC)
    typed = ["--escapes", "--until", r"\n", "--ban", r"\x61"]
    written = sampled(monkeypatch, weights, "--length", "0", *typed)
    assert written.endswith(b"\n") and written.count(b"\n") == 1 and b"a" not in written
    assert sampled(monkeypatch, weights, "--length", "0", "--lines", "1", "--ban", "a") == written


@pytest.mark.parametrize("quiet", [False, True])
def test_on_a_terminal_the_last_line_says_how_much_how_fast_and_by_which_seed(monkeypatch, model, quiet):
    err = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", err)
    command = [model(ABC), "--length", "200", *(["--quiet"] if quiet else [])]
    text = ended(monkeypatch, *command)[0]
    remark = err.written.decode()
    if quiet:
        assert remark == ""
    else:
        match = re.fullmatch(r"200 characters, [\d,]+ characters/s, --seed (\d+)\n", remark)
        assert match and ended(monkeypatch, *command, "--seed", match[1])[0] == text


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--prompts", "p", "--prompt", "a"], 2, "contradict each other"),
        (["--prompts", os.devnull], 2, "holds no prompt"),
        (["--prompts", "p", "--save-state", "s"], 2, "--save-state is for one prompt"),
        (["--length", "0", "--count", "2"], 2, "`--length 0` is endless"),
        (["--output", "."], 2, "--output . is not a file"),
        (["--output", "nowhere/a"], 1, "cannot write nowhere/a"),
        (["--output", "x" * 5000], 1, "cannot write xxx"),
        (["--load-state", "nowhere"], 1, "cannot read nowhere"),
        (["--ban", "letters,newlines"], 2, "`--ban letters,newlines` leaves no character"),
        (["--until", "x"], 2, "`--until x` never comes"),
        (["--until", r"\q", "--escapes"], 2, r"--until holds \q"),
        (["--only", "leters"], 2, "did you mean letters"),
        (["--count", "0"], 2, "--count is 0"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(monkeypatch, model, capfd, tmp_path, arguments, status, words):
    weights = model(ABC)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["sample", weights, *arguments])
    out, err = capfd.readouterr()
    assert end.value.code == status and out == "" and words in " ".join(err.split())
