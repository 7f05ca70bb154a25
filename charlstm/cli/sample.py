"""`charlstm sample`: let a model write."""

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, panel
from charlstm.config import SamplingConfig, Unknown
from charlstm.errors import ConfigError

_drawing, _prompting = panel("Drawing"), panel("Prompt")


def sample(
    run: Annotated[Path | None, typer.Argument(help=RUN_HELP, show_default=NEWEST)] = None,
    prompt: Annotated[str | None, _prompting("What the text begins with.")] = None,
    prompt_file: Annotated[Path | None, _prompting("A file with the prompt.")] = None,
    echo: Annotated[bool, _prompting("Write the prompt, too.")] = True,
    unknown: Annotated[Unknown, _prompting("What to do with characters that the model does not know.")] = "error",
    length: Annotated[int, _drawing("Characters to draw, not counting the prompt.")] = SamplingConfig.length,
    temperature: Annotated[
        float, _drawing("Below 1 safer, above 1 wilder; 0 is always the likeliest.")
    ] = SamplingConfig.temperature,
    top_k: Annotated[int, _drawing("Draw among the k likeliest only; 0: among all.")] = SamplingConfig.top_k,
    top_p: Annotated[
        float, _drawing("Draw among the likeliest that together have this probability.")
    ] = SamplingConfig.top_p,
    seed: Annotated[int | None, _drawing("Of all that is drawn.", default="drawn and shown")] = None,
) -> None:
    """Let a model write; the text streams to standard output."""
    config = SamplingConfig(temperature, top_k, top_p, length)
    if prompt is not None and prompt_file:
        raise ConfigError("--prompt and --prompt-file contradict each other", "give one of them")
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"--seed is {seed}, but must be from 0 to 4294967295")
    from charlstm.runtime.setup import set_up_jax

    set_up_jax()
    from charlstm.sampling import generation
    from charlstm.text.corpus import read_prompt_file
    from charlstm.display import console
    from charlstm.runs.folder import load_weights, newest_run

    weights = load_weights(run or newest_run())
    if prompt_file:
        symbols = read_prompt_file(prompt_file, weights.vocabulary.unit)
    else:
        symbols = weights.vocabulary.symbols_of(prompt or "")
    if unknown == "skip":
        symbols = weights.vocabulary.keep_known(symbols)
    weights.vocabulary.encode(symbols)  # names unknown characters before anything is written
    if seed is None:
        seed = secrets.randbelow(2**32)
        if temperature:
            console.note(f"--seed {seed}")
    if echo:
        console.write(weights.vocabulary.to_bytes(symbols))
    for piece in generation.generate(weights.config.model, weights.params, weights.vocabulary, symbols, config, seed):
        console.write(weights.vocabulary.to_bytes(piece))
    if sys.stdout.isatty():
        console.write(b"\n")  # the shell's prompt belongs on a line of its own
