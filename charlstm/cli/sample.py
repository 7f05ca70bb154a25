"""`charlstm sample`."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.cli.prompts import read_prompt, read_prompts
from charlstm.cli.written import Form, writing
from charlstm.errors import ConfigError
from charlstm.files import is_no_file, user_path
from charlstm.language_model import LanguageModel, load
from charlstm.options import SamplesOptions
from charlstm.score import Novelty


def _option(panel: str, text: str, *flags: str, **more: Any) -> Any:
    return typer.Option(*flags, help=text, rich_help_panel=panel, **more)


@options_of(SamplesOptions)
def sample(
    chosen: dict[str, Any],
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=NEWEST)] = None,
    prompt: Annotated[
        str | None,
        _option("Prompt", "The beginning of the text.", show_default="the beginning of a document, or a line end"),
    ] = None,
    escapes: Annotated[
        bool,
        _option("Prompt", r"Read \n, \t, \xHH, \uHHHH and the like in prompts, --until, --only, --ban.", "--escapes"),
    ] = False,
    prompt_file: Annotated[
        str | None, _option("Prompt", "A file with the prompt, or - for standard input.", metavar="PATH")
    ] = None,
    keep_newline: Annotated[
        bool, _option("Prompt", "Keep the line end at the end of --prompt-file.", "--keep-newline")
    ] = False,
    prompts: Annotated[
        str | None, _option("Several samples", "A file of prompts, one a line, or -.", metavar="PATH")
    ] = None,
    load_state: Annotated[
        str | None, _option("Prompt", "Go on from what --save-state saved; a prompt is read after it.", metavar="PATH")
    ] = None,
    save_state: Annotated[
        str | None, _option("Prompt", "Save what the model is like after the prompt.", metavar="PATH")
    ] = None,
    echo: Annotated[bool, _option("Prompt", "Write the prompt, too.")] = True,
    output: Annotated[
        str | None, _option("Output", "Write to a file, whole or not at all, not to standard output.", metavar="PATH")
    ] = None,
    as_json: Annotated[
        bool, _option("Output", "One JSON object a sample, with the log-probability of each character.", "--json")
    ] = False,
    novelty: Annotated[
        bool,
        _option(
            "Output",
            "How much of each sample is new: its longest span that stands in the training part of the model's own text,"
            " and the share of its 20-grams that do not. On standard error, or in --json.",
            "--novelty",
        ),
    ] = False,
    colour: Annotated[
        bool,
        _option("Output", "Tint each character by its surprise, where there are colours.", "--colour", "--color"),
    ] = False,
    interactive: Annotated[
        bool,
        _option(
            "Turns",
            "Write in turns: the model goes on from what you type, to an empty line, or as above.",
            "--interactive",
            "-i",
        ),
    ] = False,
    quiet: Annotated[bool, _option("Output", "No remarks: neither the seed nor the speed.", "--quiet")] = False,
) -> None:
    """Generate text; it streams to standard output."""
    own_text = chosen["own_text"]
    dynamic = chosen["dynamic"] or None
    if novelty and not (chosen["novel"] or dynamic):
        chosen["own_text"] = None
    _refuse_two({"--prompt": prompt, "--prompt-file": prompt_file, "--prompts": prompts})
    for flag, is_given in {"--colour": colour, "--interactive": interactive}.items():
        if is_given:
            _refuse_two({flag: True, "--json": as_json or None, "--output": output})
    if interactive:
        several, novel = chosen["count"] > 1 or None, chosen["novel"] or None
        _refuse_two({"--interactive": True, "--prompts": prompts, "--count": several})
        _refuse_two({"--interactive": True, "--novel": novel})
        _refuse_two({"--interactive": True, "--dynamic": dynamic})
        _refuse_two({"--interactive": True, "--novelty": novelty or None, "--colour": colour or None})
    for flag, value in {"--load-state": load_state, "--save-state": save_state}.items():
        _refuse_two({"--dynamic": dynamic, flag: value})
    if escapes and not any([prompt, prompts, chosen["until"], chosen["only"], chosen["ban"]]):
        raise ConfigError("--escapes is for --prompt and for what else is typed, none of which is given")
    if keep_newline and prompt_file is None:
        raise ConfigError("--keep-newline is for --prompt-file, which is not given")
    if run == "-" and "-" in (prompt_file, prompts):
        raise ConfigError("standard input cannot be both the model and the prompt", "name a file for one of them")
    if interactive and "-" in (run, prompt_file):
        raise ConfigError("standard input is where --interactive reads turns from", "name a file for the other")
    if save_state is not None and prompts is not None:
        raise ConfigError("--save-state is for one prompt, not for those of --prompts")
    SamplesOptions(**chosen)  # what is out of range is refused before anything is loaded
    path = _output_path(output)
    model = load(run)
    from charlstm.display import console
    from charlstm.display.heatmap import HeatMap, can_tint
    from charlstm.display.tables import in_words

    unescape = _unescaping(model) if escapes else lambda text, name: text
    chosen["until"] = [unescape(text, "until") for text in chosen["until"] or []]
    chosen |= {name: unescape(chosen[name], name) for name in ("only", "ban") if chosen[name] is not None}
    if prompts is not None:
        chosen["prompts"] = [unescape(line, "prompts") for line in read_prompts(model.vocabulary, prompts)]
    elif prompt_file is not None:
        chosen["prompt"] = read_prompt(model.vocabulary, prompt_file, keep_newline)
    else:
        chosen["prompt"] = unescape(prompt or "", "prompt")
    if load_state is not None:
        chosen["state"] = model.load_state(load_state)
    if save_state is not None:
        state = model.read(chosen["prompt"], unknown=chosen["unknown"], state=chosen.get("state"))
        state.save(user_path(save_state))
    if interactive:
        from charlstm.cli.interactive import interact

        first, _ = chosen.pop("prompt"), chosen.pop("count")
        interact(model.session(**chosen), first, echo)
        return
    is_drawn = chosen["seed"] is None
    if is_drawn:
        chosen["seed"] = secrets.randbelow(2**32)
    options = SamplesOptions(**chosen)
    is_tinted = colour and can_tint(console.out)

    def measure(text: str) -> Novelty:  # a boundary may be written as a line end that the model does not know
        return model.novelty(text, own_text, unknown="skip")

    form = Form(path, echo, as_json, is_tinted, measure if novelty else None)
    write = writing(model, options, form)
    shows_speed = console.on_terminal(console.err) and not quiet
    if is_drawn and options.temperature and not quiet and not shows_speed:
        console.note(f"--seed {options.seed}")
    written = write()
    if shows_speed:
        if is_tinted:
            console.err.print(HeatMap(console.err).legend())
        console.note(f"{written.characters:,} characters, {written.speed:,.0f} characters/s, --seed {options.seed}")
    for seed, measured in written.novelties:
        console.note((f"seed {seed}: " if form.is_of_several(options) else "") + in_words(measured), wrap=False)
    if written.is_interrupted:
        raise typer.Exit(130)


def _refuse_two(flags: dict[str, Any]) -> None:
    """Refuse flags of which two are given."""
    given = [flag for flag, value in flags.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given[:2])} contradict each other", "give one of them")


def _unescaping(model: LanguageModel) -> Callable[[str, str], str]:
    from charlstm.cli.escapes import unescaped

    return lambda text, name: unescaped(text, model.vocabulary.unit, name)


def _output_path(output: str | None) -> Path | None:
    """Where the text goes; what is no file must not be replaced by one."""
    path = None if output is None else user_path(output)
    if path is not None and is_no_file(path):
        raise ConfigError(f"--output {output} is not a file", "name a file, or send standard output there")
    return path
