"""README: its code runs, its commands print what it shows, its options exist."""

import re
from pathlib import Path

import pytest
import typer.main

from charlstm.cli import app, main

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the texts and the run that README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    text = "The tide comes in, the tide goes out,\nand so does Maren, roundabout.\n" * 300
    (folder / "novel.txt").write_text(text, "utf-8")
    (folder / "other.txt").write_text(text[:2000] + "ж", "utf-8")
    return folder


@pytest.mark.slow
def test_the_python_section_runs_as_it_stands(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    program = "\n".join(blocks("python"))
    assert "minutes=3" in program
    exec(compile(program.replace("minutes=3", "minutes=0.05"), "README.md", "exec"), {})
    assert len(capsys.readouterr().out) > 1000
    assert Path("novel.safetensors").exists()


def test_the_commands_print_what_is_shown(folder, monkeypatch, capfdbinary):
    monkeypatch.chdir(folder)
    called(["train", "novel.txt", "--steps", "20", "--hidden-size", "16", "--quiet", "--run", "runs/salt-road"])
    shown = [re.match(r"\$ charlstm (.*)\n((?:.*\n)*)", block) for block in blocks("console")]
    assert [match[1].split()[0] for match in shown] == ["sample", "evaluate"]
    for match in shown:
        capfdbinary.readouterr()
        called([word.strip('"') for word in re.findall(r'"[^"]*"|\S+', match[1])])
        out = capfdbinary.readouterr().out.decode()
        if match[1].startswith("sample"):
            assert out.startswith("The tide") and len(out) == len("The tide") + 500
        else:
            assert words_of(out) == words_of(match[2])


def called(arguments: list[str]) -> None:
    """Run a command, which must end well."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code


def words_of(table: str) -> list[str]:
    """The rows of tables without their figures and their order."""
    rows = (" ".join(re.sub(r"(?<![\w-])[\d.,]+\b", "", line).split()) for line in table.splitlines())
    return sorted(filter(None, rows))


def test_every_option_that_is_named_exists():
    commands = typer.main.get_command(app).commands.values()
    known = {flag for command in commands for each in command.params for flag in (*each.opts, *each.secondary_opts)}
    text = re.sub(r"^```sh\n(?:uv|pip).*?^```$|^#SBATCH .*?$", "", README, flags=re.M | re.S)  # of other programs
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)):
        assert flag in known | {"--help"}, flag


def test_every_command_has_a_place_in_readme():
    for name in typer.main.get_command(app).commands:
        assert f"charlstm {name}" in README, name
