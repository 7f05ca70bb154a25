"""`charlstm sample`."""

import codecs
import json
import math
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlstm.cli.meter import Meter
from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.cli.prompts import read_prompt, read_prompts
from charlstm.cli.tinted import as_characters, write_tinted
from charlstm.errors import ConfigError
from charlstm.files import user_path
from charlstm.language_model import load
from charlstm.options import SamplesOptions, Unit

if TYPE_CHECKING:
    from charlstm.sampling.samples import Sample
    from charlstm.score import Novelty
    from charlstm.text.vocabulary import Vocabulary


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
    sources = {"--prompt": prompt, "--prompt-file": prompt_file, "--prompts": prompts}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} contradict each other", "give one of them")
    if escapes and not any([prompt, prompts, chosen["until"], chosen["only"], chosen["ban"]]):
        raise ConfigError("--escapes is for --prompt and for what else is typed, none of which is given")
    if keep_newline and prompt_file is None:
        raise ConfigError("--keep-newline is for --prompt-file, which is not given")
    if run == "-" and "-" in (prompt_file, prompts):
        raise ConfigError("standard input cannot be both the model and the prompt", "name a file for one of them")
    if save_state is not None and prompts is not None:
        raise ConfigError("--save-state is for one prompt, not for those of --prompts")
    for flag, is_given in {"--json": as_json, "--output": output}.items():
        if colour and is_given:
            raise ConfigError(f"--colour and {flag} contradict each other", "give one of them")
    own_text = chosen["own_text"]
    if novelty and not chosen["novel"]:
        chosen["own_text"] = None
    if interactive:
        _require_turns(run, prompt_file, {
            "--prompts": prompts is not None, "--count": chosen["count"] > 1, "--json": as_json,
            "--output": output is not None, "--novel": chosen["novel"],
        })  # fmt: skip
    SamplesOptions(**chosen)  # what is out of range is refused before anything is loaded
    path = _output_path(output)
    model = load(run)
    from charlstm.display import console
    from charlstm.display.heatmap import HeatMap, can_tint
    from charlstm.display.tables import in_words

    unescape = _unescaping(model.vocabulary.unit) if escapes else lambda text, name: text
    chosen["until"] = [unescape(text, "until") for text in chosen["until"] or []]
    chosen |= {name: unescape(chosen[name], name) for name in ("only", "ban") if chosen[name] is not None}
    is_drawn = chosen["seed"] is None
    if is_drawn:
        chosen["seed"] = secrets.randbelow(2**32)
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

        alone = _alone(chosen)
        first = alone.pop("prompt")
        interact(model.session(**alone), first, echo)
        return
    options, meter = SamplesOptions(**chosen), Meter()
    measure = partial(model.novelty, own_text=own_text) if novelty else None
    if measure:
        measure("")  # so that a text which is gone is missed before anything is written
    samples = max(1, len(options.prompts)) * options.count
    is_tinted = colour and can_tint(console.out)
    kept = list[tuple[int, Callable[[], str]]]()  # the seed and the text of each sample that is to be measured
    if samples > 1 or as_json or is_tinted:
        groups = model.growing_samples(**chosen)
        groups = _kept_groups(groups, kept) if measure and not as_json else groups
        if is_tinted:
            before = partial(_before, options, echo=echo)
            write = partial(write_tinted, as_characters(groups, before, meter, several=samples > 1))
        else:
            parts = _as_json(groups, options, meter, measure) if as_json else _as_texts(groups, options, echo, meter)
            write = partial(_write, parts, path, as_lines=as_json)
    else:  # names unknown characters before anything is written
        pieces = model.stream(**_alone(chosen))
        pieces = _kept_pieces(pieces, options.seed, kept) if measure else pieces
        parts = _as_text(model.vocabulary, options, pieces, echo, meter)
        write = partial(_write, parts, path, as_lines=False)
    shows_speed = console.on_terminal(console.err) and not quiet
    if is_drawn and options.temperature and not quiet and not shows_speed:
        console.note(f"--seed {options.seed}")
    is_interrupted = write()
    if shows_speed:
        if is_tinted:
            console.err.print(HeatMap(console.err).legend())
        console.note(f"{meter} --seed {options.seed}")
    for seed, text in kept:
        console.note((f"seed {seed}: " if samples > 1 else "") + in_words(model.novelty(text(), own_text)), wrap=False)
    if is_interrupted:
        raise typer.Exit(130)


def _require_turns(run: str | None, prompt_file: str | None, contradictions: dict[str, bool]) -> None:
    """Refuse what cannot be written in turns."""
    for flag, is_given in contradictions.items():
        if is_given:
            raise ConfigError(f"--interactive and {flag} contradict each other", "give one of them")
    if "-" in (run, prompt_file):
        raise ConfigError("standard input is where --interactive reads turns from", "name a file for the other")


def _unescaping(unit: Unit) -> Callable[[str, str], str]:
    from charlstm.cli.escapes import unescaped

    return lambda text, name: unescaped(text, unit, name)


def _output_path(output: str | None) -> Path | None:
    """Where the text goes; what is no file must not be replaced by one."""
    path = None if output is None else user_path(output)
    if path is not None and path.exists() and not path.is_file():
        raise ConfigError(f"--output {output} is not a file", "name a file, or send standard output there")
    return path


def _alone(chosen: dict[str, Any]) -> dict[str, Any]:
    """What `stream` takes."""
    prompt = chosen.get("prompts") or [chosen.get("prompt", "")]
    return {name: value for name, value in chosen.items() if name not in ("count", "prompts")} | {"prompt": prompt[0]}


def _write(parts: Iterator[bytes], path: Path | None, as_lines: bool) -> bool:
    """Write to a file or to standard output, and say whether Ctrl-C ended it: what was written by then is kept."""
    from charlstm.display import console
    from charlstm.display.visible import visible_pieces
    from charlstm.files import atomic_write

    is_interrupted = False
    with ExitStack() as stack:
        file = None if path is None else stack.enter_context(atomic_write(path))
        as_shown = file is None and sys.stdout.isatty()
        pieces = visible_pieces(codecs.iterdecode(parts, "utf-8", "backslashreplace")) if as_shown else parts
        try:
            for piece in pieces:
                if isinstance(piece, bytes) and file is not None:
                    file.write(piece)
                else:
                    console.write(piece)
        except KeyboardInterrupt:
            is_interrupted = True
        if as_shown and not as_lines:
            console.write("\n")  # the shell's prompt belongs on a line of its own
    return is_interrupted


def _kept_pieces(pieces: Iterator[str], seed: int | None, kept: list[tuple[int, Callable[[], str]]]) -> Iterator[str]:
    """The same pieces, which are kept."""
    copy = list[str]()
    kept.append((seed or 0, lambda: "".join(copy)))
    for piece in pieces:
        copy.append(piece)
        yield piece


def _kept_groups(
    groups: "Iterator[Iterator[list[Sample]]]", kept: list[tuple[int, Callable[[], str]]]
) -> "Iterator[Iterator[list[Sample]]]":
    """The same groups, whose samples are kept."""
    for growing in groups:
        samples = next(growing)
        kept += [(sample.seed, partial(getattr, sample, "text")) for sample in samples]
        yield chain([samples], growing)


def _echoed(vocabulary: "Vocabulary", prompt: str, echo: bool) -> bytes:
    return vocabulary.to_bytes(vocabulary.keep_known(vocabulary.symbols_of(prompt))) if echo else b""


def _as_text(
    vocabulary: "Vocabulary", options: SamplesOptions, pieces: Iterator[str], echo: bool, meter: Meter
) -> Iterator[bytes]:
    """What is written of the prompt, and then of each piece as soon as it is there."""
    yield _echoed(vocabulary, (options.prompts or [options.prompt])[0], echo)
    for piece in pieces:
        symbols = vocabulary.symbols_of(piece)
        meter.characters += len(symbols)
        yield vocabulary.to_bytes(symbols)


def _as_texts(
    groups: "Iterator[Iterator[list[Sample]]]", options: SamplesOptions, echo: bool, meter: Meter
) -> Iterator[bytes]:
    """Each text below a line with its seed, the first of those that are sampled at once as it grows."""
    number = 0
    for growing in groups:
        shown, samples = 0, list["Sample"]()
        for samples in growing:
            first = samples[0]
            if not shown:
                yield _before(options, number, first, echo)
            yield first.vocabulary.to_bytes("".join(first.pieces[shown:]))
            shown = len(first.pieces)
        meter.characters += sum(len(each.log_probabilities) for each in samples)
        for sample in samples:
            if sample is not samples[0]:
                yield _before(options, number, sample, echo)
                yield sample.vocabulary.to_bytes("".join(sample.pieces))
            yield b"\n"
            number += 1


def _before(options: SamplesOptions, number: int, sample: "Sample", echo: bool) -> bytes:
    """What is written before a sample: where there are several, a line with its seed; and its prompt."""
    echoed = _echoed(sample.vocabulary, sample.prompt, echo)
    if max(1, len(options.prompts)) * options.count == 1:
        return echoed
    prompt = f"prompt {number // options.count + 1}, " if len(options.prompts) > 1 else ""
    blank = "\n" if number else ""
    return f"{blank}--- {prompt}seed {sample.seed} ---\n".encode() + echoed


def _as_json(
    groups: "Iterator[Iterator[list[Sample]]]",
    options: SamplesOptions,
    meter: Meter,
    measure: "Callable[[str], Novelty] | None",
) -> Iterator[bytes]:
    """One line a sample; what Ctrl-C interrupts comes as far as it is."""
    from charlstm.display.console import finite

    left_out = ("prompt", "prompts", "count", "state", "seed")
    settings = {name: value for name, value in vars(options).items() if name not in left_out}
    for growing in groups:
        samples, interrupt = list["Sample"](), None
        try:
            for samples in growing:  # noqa: B007 - the last ones are those that have ended
                pass
        except KeyboardInterrupt as error:
            interrupt = error
        for sample in samples:
            meter.characters += len(sample.log_probabilities)
            logs = [each if math.isfinite(each) else None for each in sample.log_probabilities]
            facts = {"prompt": sample.prompt, "text": sample.text, "seed": sample.seed, "log_probabilities": logs}
            facts |= {"settings": settings, "ended": sample.ended or "interrupted"}
            facts |= {"novelty": finite(measure(sample.text).to_dict())} if measure else {}
            yield json.dumps(facts).encode() + b"\n"
        if interrupt:
            raise interrupt
