"""`charlstm sample --dynamic`: what it takes, and what it refuses."""

import json

import pytest
from calling import called

import charlstm

PROMPT = "and who goes home comes out to sea,\n" * 12


def test_a_prompt_file_is_learned_from(trained_run, text_file, tmp_path, capfd):
    (tmp_path / "chapter.txt").write_bytes(f"{PROMPT}\n".encode())
    command = ["sample", str(trained_run.path), "--dynamic", "--own-text", str(text_file), "--json", "--seed", "3"]
    assert called([*command, "--length", "40", "--prompt-file", str(tmp_path / "chapter.txt")]) == 0
    model = charlstm.load(trained_run.path)
    (expected,) = model.samples(PROMPT, length=40, seed=3, dynamic=True, own_text=text_file)
    assert json.loads(capfd.readouterr().out)["text"] == expected.text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--load-state", "F", "--prompt", "The"], "--dynamic and --load-state contradict each other"),
        (["--save-state", "F", "--prompt", "The"], "--dynamic and --save-state contradict each other"),
        (["--interactive"], "--interactive and --dynamic contradict each other"),
        ([], "`--dynamic` learns from a prompt, and none is given"),
    ],
)
def test_what_cannot_go_together_is_refused(trained_run, capfd, arguments, sentence):
    assert called(["sample", str(trained_run.path), "--dynamic", *arguments]) == 2
    assert sentence in " ".join(capfd.readouterr().err.split())


def test_a_text_that_is_gone_is_named_and_nothing_is_written(trained_run, capfd, tmp_path):
    output = tmp_path / "out.txt"
    command = ["sample", str(trained_run.path), "--dynamic", "--prompt", "The", "--output", str(output)]
    assert called(command) == 1
    assert "verse.txt" in capfd.readouterr().err
    assert not output.exists()
