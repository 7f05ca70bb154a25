"""`charlstm sample`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.errors import ConfigError
from charlstm.language_model import load
from charlstm.options import SampleOptions


@options_of(SampleOptions)
def sample(
    chosen: dict[str, Any],
    run: Annotated[Path | None, typer.Argument(help=RUN_HELP, show_default=NEWEST)] = None,
    prompt: Annotated[
        str | None, typer.Option(help="The beginning of the text.", rich_help_panel="Prompt", show_default="a line end")
    ] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="A file with the prompt.", rich_help_panel="Prompt")] = None,
    echo: Annotated[bool, typer.Option(help="Write the prompt, too.", rich_help_panel="Prompt")] = True,
) -> None:
    """Generate text; it streams to standard output."""
    if prompt is not None and prompt_file:
        raise ConfigError("--prompt and --prompt-file contradict each other", "give one of them")
    SampleOptions(**chosen)  # what is out of range is refused before anything is loaded
    model = load(run)
    import secrets

    from charlstm.display import console
    from charlstm.text.corpus import read_prompt_file

    vocabulary = model.vocabulary
    if prompt_file:
        prompt = vocabulary.text_of(read_prompt_file(prompt_file, vocabulary.unit))
    is_drawn = chosen["seed"] is None
    if is_drawn:
        chosen["seed"] = secrets.randbelow(2**32)
    pieces = model.stream(prompt or "", **chosen)  # names unknown characters before anything is written
    if is_drawn and chosen["temperature"]:
        console.note(f"--seed {chosen['seed']}")
    if echo:
        symbols = vocabulary.symbols_of(prompt or "")
        console.write(vocabulary.to_bytes(vocabulary.keep_known(symbols)))
    for piece in pieces:
        console.write(vocabulary.to_bytes(vocabulary.symbols_of(piece)))
    if sys.stdout.isatty():
        console.write(b"\n")  # the shell's prompt belongs on a line of its own
