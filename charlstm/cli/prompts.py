"""Prompts from files."""

from typing import TYPE_CHECKING

from charlstm.errors import ConfigError
from charlstm.files import user_path

if TYPE_CHECKING:
    from charlstm.text.vocabulary import Vocabulary


def read_prompt(vocabulary: "Vocabulary", file: str, keep_newline: bool) -> str:
    """The prompt that a file holds, or standard input as `-`."""
    from charlstm.text.corpus import read_prompt_file

    path = file if file == "-" else user_path(file)
    return vocabulary.text_of(read_prompt_file(path, vocabulary.unit, keep_newline))


def read_prompts(vocabulary: "Vocabulary", file: str) -> list[str]:
    """The prompts of a file, one a line; lines that are empty are none."""
    lines = read_prompt(vocabulary, file, keep_newline=True).split("\n")
    if prompts := [line for line in (line.removesuffix("\r") for line in lines) if line]:
        return prompts
    raise ConfigError(f"--prompts {file} holds no prompt", "write one a line")
