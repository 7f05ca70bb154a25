"""`charlstm complete`: what it shows, and what it refuses."""

import json

import calling
import pytest

import charlstm


def called(capfd, *arguments: str) -> tuple[str, str, int]:
    """Standard output, standard error and exit status of `charlstm complete`."""
    capfd.readouterr()
    status = calling.called(["complete", *arguments])
    return (*capfd.readouterr(), status)


def test_a_table_and_json_show_what_python_finds(trained_run, tmp_path, capfd):
    model = charlstm.load(trained_run.path)
    found = model.complete("The sa", top=3)
    following = model.next_characters("The sa", 3)
    out, _, status = called(capfd, str(trained_run.path), "The sa", "--top", "3")
    assert status == 0
    for text, probability in [(each.text, each.probability) for each in found] + following:
        assert f"{probability:.1%}" in out or probability < 0.001
        assert text.strip() in out
    (tmp_path / "prompt").write_bytes(b"The sa\n")
    ways = (["--prompt", "The sa"], [r"The s\x61", "--escapes"], ["--prompt-file", str(tmp_path / "prompt")])
    for way in ways:
        shown = json.loads(called(capfd, str(trained_run.path), *way, "--top", "3", "--json")[0])
        assert shown["completions"] == [{"text": each.text, "probability": each.probability} for each in found]
        assert [(each["character"], each["probability"]) for each in shown["next_characters"]] == following
        assert (shown["prompt"], shown["to"], shown["exact"]) == ("The sa", "word", found.exact)


def test_line_ends_and_spaces_are_shown_and_so_is_an_end_that_is_near(trained_run, capfd):
    out, _, _ = called(capfd, str(trained_run.path), "hill to sea,", "--to", "line")
    assert "(the line ends here)" in out and "␤" in out
    assert "␤and" in called(capfd, str(trained_run.path), "hill to sea,")[0]
    assert "␣road" in called(capfd, str(trained_run.path), "The salt")[0]
    assert "--expansions says how far" in called(capfd, str(trained_run.path), "The", "--expansions", "1")[0]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["a", "--prompt", "b"], 2, "TEXT and --prompt contradict each other"),
        (["--escapes"], 2, "--escapes is for a prompt that is typed"),
        (["a\\q", "--escapes"], 2, "--prompt holds \\q"),
        (["ж"], 1, "'ж' (U+0436) is not among"),
        (["--to", "verse"], 2, "verse"),
        (["--top", "0"], 2, "--top is 0, but must be from 1 to 1000"),
        (["--expansions", "0"], 2, "--expansions is 0"),
        (["--prompt-file", "nowhere"], 1, "there is no file nowhere"),
    ],
)
def test_what_cannot_be_completed_is_one_sentence(trained_run, capfd, arguments, status, words):
    out, err, found = called(capfd, str(trained_run.path), *arguments)
    assert (out, found) == ("", status) and words in " ".join(err.split())


def test_a_text_that_stands_where_the_run_should_is_told_its_place(capfd):
    out, err, status = called(capfd, "The ti")
    assert (out, status) == ("", 1) and "no run at The ti" in err and "as --prompt" in err


def test_standard_input_is_one_thing_only(capfd):
    assert "cannot be both" in called(capfd, "-", "--prompt-file", "-")[1]
