"""`charlstm sample`."""

import codecs
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.errors import ConfigError
from charlstm.language_model import LanguageModel, load
from charlstm.options import SampleOptions


def _prompt_option(text: str, *flags: str, **more: Any) -> Any:
    return typer.Option(*flags, help=text, rich_help_panel="Prompt", **more)


@options_of(SampleOptions)
def sample(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    prompt: Annotated[
        str | None,
        _prompt_option("The beginning of the text.", show_default="the beginning of a document, or a line end"),
    ] = None,
    escapes: Annotated[
        bool, _prompt_option(r"Read \n, \t, \xHH, \uHHHH and the like in --prompt.", "--escapes")
    ] = False,
    prompt_file: Annotated[
        str | None, _prompt_option("A file with the prompt, or - for standard input.", metavar="PATH")
    ] = None,
    keep_newline: Annotated[
        bool, _prompt_option("Keep the line end at the end of --prompt-file.", "--keep-newline")
    ] = False,
    echo: Annotated[bool, _prompt_option("Write the prompt, too.")] = True,
) -> None:
    """Generate text; it streams to standard output."""
    if prompt is not None and prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file contradict each other", "give one of them")
    if escapes and prompt is None:
        raise ConfigError("--escapes is for --prompt, which is not given")
    if keep_newline and prompt_file is None:
        raise ConfigError("--keep-newline is for --prompt-file, which is not given")
    if run == prompt_file == "-":
        raise ConfigError("standard input cannot be both the model and the prompt", "name a file for one of them")
    SampleOptions(**chosen)  # what is out of range is refused before anything is loaded
    model = load(run)
    import secrets

    from charlstm.display import console

    prompt = _prompt(model, prompt, escapes, prompt_file, keep_newline)
    is_drawn = chosen["seed"] is None
    if is_drawn:
        chosen["seed"] = secrets.randbelow(2**32)
    pieces = model.stream(prompt, **chosen)  # names unknown characters before anything is written
    if is_drawn and chosen["temperature"]:
        console.note(f"--seed {chosen['seed']}")
    written = _as_bytes(model, prompt if echo else "", pieces)
    if not sys.stdout.isatty():
        for piece in written:
            console.write(piece)
        return
    from charlstm.display.visible import visible_pieces

    for piece in visible_pieces(codecs.iterdecode(written, "utf-8", "backslashreplace")):
        console.write(piece)
    console.write("\n")  # the shell's prompt belongs on a line of its own


def _prompt(model: LanguageModel, prompt: str | None, escapes: bool, file: str | None, keep_newline: bool) -> str:
    """The prompt, from wherever it comes."""
    from charlstm.cli.escapes import unescaped
    from charlstm.files import user_path
    from charlstm.text.corpus import read_prompt_file

    vocabulary = model.vocabulary
    if file is not None:
        path = file if file == "-" else user_path(file)
        return vocabulary.text_of(read_prompt_file(path, vocabulary.unit, keep_newline))
    return unescaped(prompt or "", vocabulary.unit) if escapes else prompt or ""


def _as_bytes(model: LanguageModel, prompt: str, pieces: Iterator[str]) -> Iterator[bytes]:
    """What is written of the prompt, and then of each piece as soon as it is there."""
    vocabulary = model.vocabulary
    yield vocabulary.to_bytes(vocabulary.keep_known(vocabulary.symbols_of(prompt)))
    for piece in pieces:
        yield vocabulary.to_bytes(vocabulary.symbols_of(piece))
