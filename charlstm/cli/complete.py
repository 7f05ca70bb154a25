"""`charlstm complete`."""

from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.cli.prompts import read_prompt
from charlstm.errors import ConfigError, RunError
from charlstm.files import user_path
from charlstm.language_model import load
from charlstm.options import CompleteOptions


@options_of(CompleteOptions)
def complete(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The prompt, if it is not --prompt.", show_default=False)
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="What is to be completed.", show_default="the beginning of a document, or a line end"),
    ] = None,
    escapes: Annotated[
        bool, typer.Option("--escapes", help=r"Read \n, \t, \xHH, \uHHHH and the like in the prompt.")
    ] = False,
    prompt_file: Annotated[
        str | None, typer.Option(help="A file with the prompt, or - for standard input.", metavar="PATH")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the most probable continuations of a text, and the odds of its next character."""
    sources = {"TEXT": text, "--prompt": prompt, "--prompt-file": prompt_file}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} contradict each other", "give one of them")
    typed = prompt if text is None else text
    if escapes and not typed:
        raise ConfigError("--escapes is for a prompt that is typed, which is not given")
    if run == prompt_file == "-":
        raise ConfigError("standard input cannot be both the model and the prompt", "name a file for one of them")
    if run not in (None, "-") and not given and not user_path(run).exists():
        raise RunError(f"there is no run at {run}", "if this is the text, it comes second, or as --prompt")
    CompleteOptions(**chosen)  # what is out of range is refused before anything is loaded
    model = load(run)
    from charlstm.display import console, tables

    if prompt_file is not None:
        typed = read_prompt(model.vocabulary, prompt_file, keep_newline=False)
    elif escapes:
        from charlstm.cli.escapes import unescaped

        typed = unescaped(typed or "", model.vocabulary.unit)
    state = model.read(typed or "", unknown=chosen["unknown"])
    completions = model.complete(state=state, **chosen)
    # A byte that is part of a character is no text: it becomes a lone surrogate, and is shown as an escape.
    symbols = model.next_characters("", chosen["top"], state)
    following = [(model.vocabulary.text_of(symbol), probability) for symbol, probability in symbols]
    if as_json:
        named = [{"character": each, "probability": probability} for each, probability in following]
        console.write_json({
            "prompt": typed or "", "to": chosen["to"], "exact": completions.exact,
            "completions": [vars(each) for each in completions], "next_characters": named,
        })  # fmt: skip
    else:
        tables.show_completions(completions, following, chosen["to"])
