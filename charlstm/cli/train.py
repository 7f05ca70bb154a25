"""`charlstm train`: settings, a run to keep them in, and the events of training on the screen."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlstm.cli.options import FITTED, TEXT_HELP, panel
from charlstm.config import Cell, CorpusConfig, Optimizer, PrecisionWish, RunConfig, SamplingConfig, Unit, Wishes
from charlstm.text.catalogue import BUNDLED
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    from charlstm.text.corpus import Corpus
    from charlstm.runs.folder import Run

_text, _run, _model = panel("Text"), panel("Run"), panel("Model")
_budget, _optimisation, _watching = panel("Budget (one of them)"), panel("Optimisation"), panel("Watching")


def train(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help=TEXT_HELP, show_default=BUNDLED),
    ] = None,
    run: Annotated[Path | None, _run("Where the run is kept.", "--run")] = None,
    resume: Annotated[bool, _run("Go on with a stopped run, exactly as if it had never stopped.")] = False,
    overwrite: Annotated[bool, _run("Replace the run that is there.")] = False,
    init_from: Annotated[Path | None, _run("Start from the weights of another run; new characters are added.")] = None,
    unit: Annotated[Unit, _text("Read characters, or the bytes of any file.")] = "character",
    encoding: Annotated[str, _text("How the characters are encoded.")] = "utf-8",
    validation: Annotated[float, _text("Fraction of the text, from its end, that is held out.")] = Wishes.validation,
    cell: Annotated[Cell, _model("The recurrent cell.")] = Wishes.cell,
    layers: Annotated[int | None, _model("Recurrent layers.", default="1")] = Wishes.layers,
    hidden_size: Annotated[int | None, _model("Units of a layer.", default=FITTED)] = Wishes.hidden_size,
    embedding_size: Annotated[
        int | None, _model("Size of a character vector.", default=FITTED)
    ] = Wishes.embedding_size,
    dropout: Annotated[
        float | None, _model("Probability that a unit is silent for a window.", default=FITTED)
    ] = Wishes.dropout,
    weight_drop: Annotated[
        float | None, _model("Probability that a recurrent weight is zero for a window.", default=FITTED)
    ] = Wishes.weight_drop,
    minutes: Annotated[float | None, _budget("Time to train, everything included.")] = Wishes.minutes,
    epochs: Annotated[float | None, _budget("How often to read the text.")] = Wishes.epochs,
    steps: Annotated[int | None, _budget("Updates of the weights.")] = Wishes.steps,
    patience: Annotated[
        int | None, _budget("Also stop after this many validations in a row without a better one.")
    ] = Wishes.patience,
    batch_size: Annotated[int | None, _optimisation("Streams read side by side.", default=FITTED)] = Wishes.batch_size,
    sequence_length: Annotated[
        int | None, _optimisation("Characters of a window: how far gradients flow back.", default=FITTED)
    ] = Wishes.sequence_length,
    optimizer: Annotated[
        Optimizer, _optimisation("Muon learns more from each step; a step of AdamW takes less time.")
    ] = Wishes.optimizer,
    learning_rate: Annotated[
        float | None, _optimisation("Peak of the learning rate.", default="suits the optimizer")
    ] = Wishes.learning_rate,
    weight_decay: Annotated[float, _optimisation("Decoupled weight decay of the matrices.")] = Wishes.weight_decay,
    clip: Annotated[float, _optimisation("Largest global norm of a gradient.")] = Wishes.clip,
    precision: Annotated[
        PrecisionWish, _optimisation("Of the operands of products; auto measures this machine.")
    ] = Wishes.precision,
    seed: Annotated[int, _optimisation("Of all random numbers.")] = Wishes.seed,
    sample_every: Annotated[
        int, _watching("Let the model speak after this many of the hundred reports; 0: never.")
    ] = Wishes.sample_every,
    tensorboard: Annotated[
        bool, _watching("Also write event files into the run, for TensorBoard; needs the extra `tensorboard`.")
    ] = False,
    quiet: Annotated[bool, _watching("Show the result only.")] = False,
    as_json: Annotated[bool, _watching("Print events as JSON lines.", "--json")] = False,
) -> None:
    """Train a model on a text, for about three minutes unless told otherwise."""
    wishes = Wishes(**{name: context.params[name] for name in Wishes.__dataclass_fields__})
    if resume:
        _refuse_settings(context)
    from charlstm.runtime.setup import set_up_jax

    set_up_jax()
    from charlstm import events
    from charlstm.display.advice import advise
    from charlstm.display.watcher import Watcher, describe_run
    from charlstm.model.network import count_parameters
    from charlstm.runs.folder import TENSORBOARD, newest_run, open_run
    from charlstm.training.loop import train as train_run

    Board = None
    if tensorboard:
        from charlstm.display.tensorboard import Board

    if resume:
        current, params, notes, spent = open_run(run or newest_run()), None, [], 0.0
        corpus = _reopen(current)
    else:
        current, corpus, params, notes, spent = _prepare(
            texts or [BUNDLED], run, overwrite, init_from, unit, encoding, wishes
        )
    if not quiet and not as_json:
        describe_run(current.config, count_parameters(current.config.model), current.path, notes)
    interrupted = _listen_for_signals()
    board = finished = None
    with Watcher(current.path, as_json, quiet) as watcher:
        for event in train_run(current, corpus, params, resume, lambda: bool(interrupted), spent):
            watcher.show(event)
            match event:
                case events.Compiling() if Board:
                    board = Board(current.path / TENSORBOARD, event.step)
                case events.Report() if board:
                    board.show(event)
                case events.SampleDue() if board or not quiet:
                    text = _passage(current, event.params, event.step)
                    watcher.passage(event.step, text)
                    if board:
                        board.passage(event.step, text)
                case events.Finished():
                    finished = event
    if board:
        board.close()
    assert finished
    watcher.finish(finished, advise(list(current.read_metrics()), current.config))
    if finished.reason == "stopped":
        raise typer.Exit(128 + interrupted[0])


def _refuse_settings(context: typer.Context) -> None:
    """A resumed run has its settings; silently ignoring others would mislead."""
    allowed = {"run", "resume", "tensorboard", "quiet", "as_json"}
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
) -> "tuple[Run, Corpus, Any, list[str], float]":
    """A new run: its text, its settings, its folder, the parameters to start from, if any, and notes.

    The last one is how many seconds it took to measure the machine: they count as training.
    """
    import jax

    from charlstm.runs import folder as runs
    from charlstm.text import corpus as corpora
    from charlstm.training import plan
    from charlstm.display import bars
    from charlstm.model.network import grow_parameters
    from charlstm.runtime.setup import versions

    base = runs.load_weights(init_from) if init_from else None
    if base and base.vocabulary.unit != unit:
        raise ConfigError(f"--unit {unit}, but {init_from} reads {base.vocabulary.unit}s", "use the same unit")
    with bars.download_bar() as tell:
        files = corpora.locate(texts, unit, tell)
    notes: list[str] = []
    with bars.busy("reading the text ..."):
        corpus = corpora.open_corpus(files, unit, encoding)
        if base:
            vocabulary = base.vocabulary.grow(corpus.vocabulary)
            added = "".join(c for c in corpus.vocabulary.symbols if c not in base.vocabulary.symbols)
            named = f": {added!r:.60}" if added else ""
            notes.append(f"starting from {init_from}; {len(added)} characters are new{named}")
            corpus = corpora.open_corpus(files, unit, encoding, vocabulary)
    training, held_out = corpus.split(wishes.validation)
    if wishes.validation and not len(held_out):
        notes.append("the text is too short to hold anything out: there will be no validation")
    symbols, rare = len(corpus.vocabulary), corpus.vocabulary.rare
    devices = jax.local_device_count()
    with bars.busy("measuring this machine ..."):
        fit = plan.fit(wishes, len(training), symbols, devices, base and base.config.model, rare=rare)
    config = RunConfig(
        fit.model,
        fit.training,
        CorpusConfig(corpora.lasting_names(texts, files), unit, encoding, corpus.fingerprint, len(corpus)),
        versions=versions(),
    )
    if path is None:
        path = _choose_path(texts[0], overwrite, notes)
    run = runs.create_run(path, config, corpus.vocabulary, overwrite)
    params = grow_parameters(base.config.model, base.params, fit.model) if base else None
    return run, corpus, params, notes + fit.notes, fit.seconds


def _choose_path(text: str, overwrite: bool, notes: list[str]) -> Path:
    """A folder in runs/ that is named like the text."""
    from charlstm.runs import folder as runs

    wanted = runs.RUNS / ("stdin" if text == "-" else Path(text).resolve().stem or "text")
    path = wanted if overwrite else runs.free_name(wanted)
    if path != wanted:
        notes.append(f"{wanted} holds an earlier run; if it was stopped, `--run {wanted} --resume` goes on with it")
    return path


def _reopen(run: "Run") -> "Corpus":
    from charlstm.text import corpus
    from charlstm.display import bars

    with bars.busy("reading the text ..."):
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
    from charlstm.sampling.generation import generate

    pieces = generate(run.config.model, params, run.vocabulary, "", SamplingConfig(length=384), seed=step)
    return run.vocabulary.to_bytes("".join(pieces)).decode("utf-8", "replace")
