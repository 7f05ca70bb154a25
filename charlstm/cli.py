"""The commands: options -> config -> one call -> display. No mathematics here; JAX is imported only by what needs it."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlstm import __version__
from charlstm.config import (
    Cell,
    CorpusConfig,
    PrecisionWish,
    RunConfig,
    SamplingConfig,
    Unit,
    Unknown,
    Wishes,
)
from charlstm.download import BUNDLED
from charlstm.errors import CharLSTMError, ConfigError

if TYPE_CHECKING:
    from charlstm.corpus import Corpus
    from charlstm.runs import Run, Weights

app = typer.Typer(
    help="Train a character-level LSTM on any text, let it write, and measure how well it predicts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_FITTED = "fitted to text, time and machine"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error of ours becomes one sentence on stderr and an exit status."""
    try:
        app(arguments)
    except CharLSTMError as error:
        from charlstm.display import show_error

        show_error(error)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        from charlstm.display import silence_stdout

        silence_stdout()
        sys.exit(141)  # what a shell reports of a program that SIGPIPE ended


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"charlstm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that stand before the command."""


def _panel(name: str):
    """An option of the help panel `name`, as short as the list of options needs."""

    def option(help_text: str, *flags: str, fitted: bool = False) -> Any:
        shown = {"show_default": _FITTED} if fitted else {}
        return typer.Option(*flags, help=help_text, rich_help_panel=name, **shown)

    return option


_text, _run, _model = _panel("Text"), _panel("Run"), _panel("Model")
_budget, _optimisation, _watching = _panel("Budget (one of them)"), _panel("Optimisation"), _panel("Watching")


@app.command()
def train(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Files, folders, named corpora (see `charlstm corpora`) or - for standard input; together one corpus.",
            show_default=BUNDLED,
        ),
    ] = None,
    run: Annotated[Path | None, _run("Where the run is kept.", "--run", fitted=False)] = None,
    resume: Annotated[bool, _run("Go on with a stopped run, exactly as if it had never stopped.")] = False,
    overwrite: Annotated[bool, _run("Replace the run that is there.")] = False,
    init_from: Annotated[Path | None, _run("Start from the weights of another run; new characters are added.")] = None,
    unit: Annotated[Unit, _text("Read characters, or the bytes of any file.")] = "character",
    encoding: Annotated[str, _text("How the characters are encoded.")] = "utf-8",
    validation: Annotated[float, _text("Fraction of the text, from its end, that is held out.")] = Wishes.validation,
    cell: Annotated[Cell, _model("The recurrent cell.")] = Wishes.cell,
    layers: Annotated[int | None, _model("Recurrent layers.", fitted=True)] = Wishes.layers,
    hidden_size: Annotated[int | None, _model("Units of a layer.", fitted=True)] = Wishes.hidden_size,
    embedding_size: Annotated[int | None, _model("Size of a character's vector.", fitted=True)] = Wishes.embedding_size,
    dropout: Annotated[
        float | None, _model("Probability that a unit is silent for a window.", fitted=True)
    ] = Wishes.dropout,
    minutes: Annotated[float | None, _budget("Time to train, everything included.", fitted=False)] = Wishes.minutes,
    epochs: Annotated[float | None, _budget("How often to read the text.", fitted=False)] = Wishes.epochs,
    steps: Annotated[int | None, _budget("Updates of the weights.", fitted=False)] = Wishes.steps,
    patience: Annotated[
        int | None, _budget("Also stop after so many validations without a better one.", fitted=False)
    ] = Wishes.patience,
    batch_size: Annotated[int | None, _optimisation("Streams read side by side.", fitted=True)] = Wishes.batch_size,
    sequence_length: Annotated[
        int | None, _optimisation("Characters of a window: how far gradients flow back.", fitted=True)
    ] = Wishes.sequence_length,
    learning_rate: Annotated[
        float | None, _optimisation("Peak of the learning rate.", fitted=True)
    ] = Wishes.learning_rate,
    weight_decay: Annotated[
        float | None, _optimisation("Decoupled weight decay of the matrices.", fitted=True)
    ] = Wishes.weight_decay,
    clip: Annotated[float, _optimisation("Largest global norm of a gradient.")] = Wishes.clip,
    precision: Annotated[
        PrecisionWish, _optimisation("Of the operands of products; auto measures this machine.")
    ] = Wishes.precision,
    seed: Annotated[int, _optimisation("Of all randomness.")] = Wishes.seed,
    sample_every: Annotated[
        int, _watching("Let the model speak after so many of the hundred reports; 0: never.")
    ] = Wishes.sample_every,
    quiet: Annotated[bool, _watching("Show the result only.")] = False,
    as_json: Annotated[bool, _watching("Print events as JSON lines.", "--json")] = False,
) -> None:
    """Train a model on a text, for about three minutes unless told otherwise."""
    wishes = Wishes(
        cell, layers, hidden_size, embedding_size, dropout, batch_size, sequence_length, learning_rate,
        weight_decay, clip, epochs, steps, minutes, validation, patience, precision, seed, sample_every,
    )  # fmt: skip
    if resume:
        _refuse_settings(context)
    from charlstm.runtime import set_up_jax

    set_up_jax()
    from charlstm import display
    from charlstm.model import count_parameters
    from charlstm.runs import newest_run, open_run
    from charlstm.training import train as train_run

    if resume:
        current, params, notes = open_run(run or newest_run()), None, []
        corpus = _reopen(current)
    else:
        current, corpus, params, notes = _prepare(texts or [BUNDLED], run, overwrite, init_from, unit, encoding, wishes)
    if not quiet and not as_json:
        display.describe_run(current.config, count_parameters(current.config.model), current.path, notes)
    interrupted = _listen_for_signals()
    finished = None
    with display.Watcher(current.path, as_json, quiet) as watcher:
        for event in train_run(current, corpus, params, resume, lambda: bool(interrupted)):
            watcher.show(event)
            match event:
                case display.events.SampleDue() if watcher.wants_passages:
                    watcher.passage(event.step, _passage(current, event.params, event.step))
                case display.events.Finished():
                    finished = event
    assert finished
    watcher.finish(finished)
    if finished.reason == "stopped":
        raise typer.Exit(128 + interrupted[0])


def _refuse_settings(context: typer.Context) -> None:
    """A resumed run has its settings; silently ignoring others would mislead."""
    allowed = {"run", "resume", "quiet", "as_json"}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in allowed and source and source.name == "COMMANDLINE":
            flag = parameter.opts[0] if parameter.opts[0].startswith("-") else "a text"
            raise ConfigError(
                f"{flag} cannot be given together with --resume",
                "the run goes on with the settings that it has",
            )


def _prepare(
    texts: list[str],
    path: Path | None,
    overwrite: bool,
    init_from: Path | None,
    unit: Unit,
    encoding: str,
    wishes: Wishes,
) -> "tuple[Run, Corpus, Any, list[str]]":
    """A new run: its text, its settings, its folder, and the parameters to start from, if any."""
    from charlstm import corpus as corpora
    from charlstm import display, runs, sizing
    from charlstm.model import grow_parameters
    from charlstm.runtime import cores, versions

    base = runs.load_weights(init_from) if init_from else None
    if base and base.vocabulary.unit != unit:
        raise ConfigError(f"--unit {unit}, but {init_from} reads {base.vocabulary.unit}s", "use the same unit")
    with display.download_bar() as tell:
        files = corpora.locate(texts, tell)
    notes: list[str] = []
    with display.busy("reading the text ..."):
        corpus = corpora.open_corpus(files, unit, encoding)
        if base:
            vocabulary = base.vocabulary.grow(corpus.vocabulary)
            added = vocabulary.symbols[len(base.vocabulary) :]
            notes.append(
                f"starting from {init_from}; {len(added)} characters are new{': ' if added else ''}{added!r:.60}"
            )
            corpus = corpora.open_corpus(files, unit, encoding, vocabulary)
    training, held_out = corpus.split(wishes.validation)
    if wishes.validation and not len(held_out):
        notes.append("the text is too short to hold anything out: there will be no validation")
    fit = sizing.fit(wishes, len(training), len(corpus.vocabulary), cores(), base and base.config.model)
    config = RunConfig(
        fit.model,
        fit.training,
        CorpusConfig(corpora.lasting_names(texts, files), unit, encoding, corpus.fingerprint, len(corpus)),
        versions=versions(),
    )
    if path is None:
        wanted = runs.RUNS / ("stdin" if texts[0] == "-" else Path(texts[0]).resolve().stem or "text")
        path = wanted if overwrite else runs.free_name(wanted)
        if path != wanted:
            notes.append(f"{wanted} holds an earlier run; `--run {wanted} --resume` would go on with that one")
    run = runs.create_run(path, config, corpus.vocabulary, overwrite)
    params = grow_parameters(base.config.model, base.params, fit.model) if base else None
    return run, corpus, params, notes + fit.notes


def _reopen(run: "Run") -> "Corpus":
    from charlstm import corpus, display

    with display.busy("reading the text ..."):
        return corpus.reopen(run.config.corpus, run.vocabulary)


def _listen_for_signals() -> list[int]:
    """From now on Ctrl-C and SIGTERM are noted in the list; a second Ctrl-C ends the program at once."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return received


def _passage(run: "Run", params: Any, step: int) -> str:
    from charlstm.sampling import generate

    pieces = generate(run.config.model, params, run.vocabulary, "", SamplingConfig(length=384), seed=step)
    return run.vocabulary.to_bytes("".join(pieces)).decode("utf-8", "replace")


_drawing, _prompting = _panel("Drawing"), _panel("Prompt")
_RUN_HELP = "A run, or a weights file."
_NEWEST = "the newest run in runs/"


@app.command()
def sample(
    run: Annotated[Path | None, typer.Argument(help=_RUN_HELP, show_default=_NEWEST)] = None,
    prompt: Annotated[str | None, _prompting("What the text begins with.")] = None,
    prompt_file: Annotated[Path | None, _prompting("A file with the prompt.")] = None,
    echo: Annotated[bool, _prompting("Write the prompt, too.")] = True,
    unknown: Annotated[Unknown, _prompting("What to do with characters that the model does not know.")] = "error",
    length: Annotated[int, _drawing("Characters to draw, not counting the prompt.")] = SamplingConfig.length,
    temperature: Annotated[
        float, _drawing("Below 1 bolder in its habits, above 1 wilder; 0 is always the likeliest.")
    ] = SamplingConfig.temperature,
    top_k: Annotated[int, _drawing("Draw among the k likeliest only; 0: among all.")] = SamplingConfig.top_k,
    top_p: Annotated[
        float, _drawing("Draw among the likeliest that together have this probability.")
    ] = SamplingConfig.top_p,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the randomness.", rich_help_panel="Drawing", show_default="drawn and shown"),
    ] = None,
) -> None:
    """Let a model write; the text streams to standard output."""
    config = SamplingConfig(temperature, top_k, top_p, length)
    if prompt is not None and prompt_file:
        raise ConfigError("--prompt and --prompt-file contradict each other", "give one of them")
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"--seed is {seed}, but must be from 0 to 4294967295")
    from charlstm.runtime import set_up_jax

    set_up_jax()
    from charlstm import display, sampling
    from charlstm.corpus import read_prompt_file

    weights = _load(run)
    text = read_prompt_file(prompt_file) if prompt_file else prompt or ""
    symbols = weights.vocabulary.symbols_of(text)
    if unknown == "skip":
        symbols = weights.vocabulary.keep_known(symbols)
    weights.vocabulary.encode(symbols)  # names unknown characters before anything is written
    if seed is None:
        import secrets

        seed = secrets.randbelow(2**32)
        if temperature:
            display.note(f"--seed {seed}")
    if echo:
        display.write(weights.vocabulary.to_bytes(symbols))
    for piece in sampling.generate(weights.config.model, weights.params, weights.vocabulary, symbols, config, seed):
        display.write(weights.vocabulary.to_bytes(piece))
    if sys.stdout.isatty():
        display.write(b"\n")  # the shell's prompt belongs on a line of its own


def _load(run: Path | None) -> "Weights":
    from charlstm.runs import load_weights, newest_run

    return load_weights(run or newest_run())


@app.command()
def evaluate(
    run: Annotated[Path | None, typer.Argument(help=_RUN_HELP, show_default=_NEWEST)] = None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="As for train.", show_default="the run's own validation part"),
    ] = None,
    exact: Annotated[bool, typer.Option(help="Read in one stream: slower, and without any approximation.")] = False,
    unknown: Annotated[Unknown, typer.Option(help="What to do with characters the model does not know.")] = "error",
    encoding: Annotated[
        str | None, typer.Option(help="How the characters are encoded.", show_default="the run's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how well a model predicts a text: loss, perplexity, bits per character and per byte."""
    from charlstm.runtime import set_up_jax

    set_up_jax()
    from charlstm import corpus as corpora
    from charlstm import display, evaluation

    weights = _load(run)
    settings = weights.config.corpus
    with display.busy("reading the text ..."):
        if texts:
            files = corpora.locate(texts)
            corpus = corpora.open_corpus(
                files, settings.unit, encoding or settings.encoding, weights.vocabulary, unknown
            )
            ids, what = corpus.ids, ", ".join(texts)
        else:
            corpus = corpora.reopen(settings, weights.vocabulary)
            ids, what = corpus.split(weights.config.training.validation)[1], "the validation part"
            if not len(ids):
                raise ConfigError(f"{weights.path.parent} has no validation part", "name a text to evaluate")
    streams = 1 if exact else None
    with display.scoring_bar(len(ids) - 1) as tell:
        for score in evaluation.evaluate_steps(weights.config.model, weights.params, ids, weights.vocabulary, streams):
            tell(score)
    if as_json:
        display.write_json(score.to_json() | ({"skipped": corpus.skipped} if unknown == "skip" else {}))
    else:
        display.show_score(score, what, corpus.skipped)


@app.command()
def corpora() -> None:
    """List the named corpora, which can be used wherever a file can."""
    from charlstm import display
    from charlstm.download import NAMED

    display.show_corpora(list(NAMED.values()))
