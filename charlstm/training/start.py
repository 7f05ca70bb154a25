"""From what a user asked for to a run that can be trained: its text, its settings, its folder."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax

from charlstm.config import CorpusConfig, ModelConfig, RunConfig, TrainingConfig
from charlstm.errors import ConfigError, CorpusError, MemoryLimitError, setting
from charlstm.events import Event, Preparing
from charlstm.files import is_temporary, storage_errors, user_path
from charlstm.model.members import Params, of_one
from charlstm.model.parameters import grow_parameters
from charlstm.options import OnProgress, TrainOptions
from charlstm.runs.checkpoints import load_facts
from charlstm.runs.finding import free_name, resumed_run
from charlstm.runs.folder import RUNS, Run, open_run, read_config, refuse_existing, settle, stage_run
from charlstm.runs.lock import lock
from charlstm.runs.texts import find_files, names_of, reopen
from charlstm.runs.weights import Weights, load_weights
from charlstm.runtime.hosts import ALONE, Hosts
from charlstm.runtime.memory import available_memory
from charlstm.runtime.setup import versions
from charlstm.text.corpus import Corpus, open_corpus
from charlstm.text.documents import Documents
from charlstm.text.sources import lasting_names
from charlstm.text.spool import STDIN, is_read_once
from charlstm.training.decisions import Read
from charlstm.training.division import in_parts, to_fit
from charlstm.training.footprint import require_step_memory
from charlstm.training.journal import read_facts
from charlstm.training.plan import resolve
from charlstm.training.shapes import MAX_EPOCHS

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, eq=False)
class Start:
    """A run and its text, the parameters to start from, if any, and notes for the user.

    `seconds` were spent on measuring the machine; they count as training.
    """

    run: Run
    corpus: Corpus
    params: Params | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@contextmanager
def starting(options: TrainOptions, on_event: OnEvent, hosts: Hosts = ALONE) -> Iterator[Start]:
    """The run to train, new or resumed, which no other process may write to as long as the block lasts.

    The processes that train it with this one open its text, too.

    Raises:
        ConfigError: settings contradict each other, the text or the weights to start from.
        CorpusError: a text cannot be found or read.
        RunError: there is a run already or none to resume, it is being trained, or its text has changed.
        StorageError: the folder cannot be written.
    """
    with _resumed(options, on_event, hosts) if options.resume else _new(options, on_event, hosts) as start:
        training = start.run.config.training
        _require_shared(training.batch_size, training.accumulate, hosts)
        hosts.tell(Read(start.run.config, start.run.vocabulary.to_json()))
        hosts.meet()
        yield start


def _require_shared(streams: int | None, parts: int, hosts: Hosts) -> None:
    """Refuse streams, of which each step reads one of so many parts at a time, that processes cannot share evenly."""
    if streams and hosts.processes > 1 and streams % (parts * hosts.processes):
        in_parts, times = (f" in {parts} parts", f" times {setting('accumulate')}") if parts > 1 else ("", "")
        raise ConfigError(
            f"{streams} streams{in_parts} cannot be shared evenly by {hosts.processes} processes",
            f"{setting('batch_size')} must be a multiple of the number of processes{times}",
        )


@contextmanager
def _own(path: Path, notes: list[str]) -> Iterator[None]:
    """Lock the folder of a run, made if need be, and bring it into order; before and after the block."""
    is_new = not path.exists()
    try:
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        with lock(path) as is_locked:
            if not is_locked:
                notes.append(f"{path} is on a file system without locks: let no other process train there")
            settle(path)
            try:
                yield
            finally:
                settle(path)
    finally:
        if is_new:
            with suppress(OSError):
                path.rmdir()  # if nothing has come of it


@contextmanager
def _resumed(options: TrainOptions, on_event: OnEvent, hosts: Hosts) -> Iterator[Start]:
    """The run to continue: the one that is named, or the newest; its text may have moved, its end be further away."""
    path = resumed_run(options)
    notes: list[str] = []
    read_config(path)  # or there is no run, and no folder is to be made
    with _own(path, notes):
        run = open_run(path)
        training = _in_parts(run.config, options, notes, hosts.processes)
        on_event(Preparing(what="reading the text"))
        named = options.texts if options.texts != TrainOptions.texts else None
        corpus, sources = reopen(run.config.corpus, run.vocabulary, path, named, _as_events(on_event))
        if sources != run.config.corpus.sources:
            notes.append(f"the text is now {', '.join(sources)}")
        config = replace(run.config, corpus=replace(run.config.corpus, sources=sources))
        training = _prolonged(run, training, options, len(corpus.split(training.validation)[0]))
        yield Start(run.with_config(replace(config, training=training)), corpus, notes=tuple(notes))


def _in_parts(config: RunConfig, options: TrainOptions, notes: list[str], processes: int = 1) -> TrainingConfig:
    """A run may go on on a smaller machine in smaller parts, which may be given, but not with smaller settings."""
    given = {name: value for name in ("accumulate", "chunk_length") if (value := getattr(options, name))}
    training = asked = replace(config.training, **given)
    if (memory := available_memory()) is not None:
        training = in_parts(config.model, asked, memory, **given, processes=processes)
        notes += to_fit(asked, training)
    try:
        require_step_memory(config.model, training, processes)
    except MemoryLimitError as error:
        raise MemoryLimitError(
            error.raw_message, "go on on a machine with more memory, or on which less is running"
        ) from None
    return training


def _prolonged(run: Run, training: TrainingConfig, options: TrainOptions, characters: int) -> TrainingConfig:
    """The settings of a run that goes on: with a budget, for so much more than it has done."""
    patience = options.patience or training.patience
    if options.minutes is options.epochs is options.steps is None:
        return replace(training, patience=patience)
    journal, _ = read_facts(load_facts(run), str(run.path))
    characters_per_step = training.batch_size * training.sequence_length
    epochs = options.epochs or MAX_EPOCHS
    more = options.steps or max(1, math.ceil(epochs * (characters - 1) / characters_per_step))
    minutes = None if options.minutes is None else journal.elapsed / 60 + options.minutes
    return replace(training, steps=journal.step + more, minutes=minutes, patience=patience)


@contextmanager
def _new(options: TrainOptions, on_event: OnEvent, hosts: Hosts) -> Iterator[Start]:
    """A new run, its settings closed and its folder made."""
    texts = names_of(options.texts)
    notes: list[str] = []
    _require_shared(options.batch_size, options.accumulate or 1, hosts)
    if options.run:
        refuse_existing(user_path(options.run), options.overwrite)  # before the machine is measured
    base = load_weights(options.init_from) if options.init_from else None
    if base and base.vocabulary.unit != options.unit:
        raise ConfigError(
            f"{setting('unit', options.unit)}, but {options.init_from} reads {base.vocabulary.unit}s",
            "use the same unit",
        )
    corpus, files, documents = _open_text(texts, options, base, on_event, notes)
    if any(map(is_temporary, files)):
        notes.append(
            "there is no cache folder to keep standard input in: this run cannot be resumed in another session"
        )
    training, held_out = corpus.split(options.validation)
    if options.validation and not len(held_out):
        notes.append("the text is too short to hold anything out: there will be no validation")
    on_event(Preparing(what="measuring this machine"))
    symbols, rare, devices = len(corpus.vocabulary), corpus.vocabulary.rare, jax.local_device_count() * hosts.processes
    plan = resolve(options, len(training), symbols, devices, base and base.model, rare=rare, hosts=hosts)
    config = RunConfig(
        model=plan.model,
        training=plan.training,
        corpus=CorpusConfig(
            sources=lasting_names(texts, files),
            unit=options.unit,
            encoding=options.encoding,
            fingerprint=corpus.fingerprint,
            characters=len(corpus),
            documents=documents,
            order_seed=options.seed,
        ),
        versions=versions(),
        init_from=_lasting(options.init_from),
    )
    params = _grown(base, plan.model) if base else None
    path = user_path(options.run) if options.run else _choose_path(texts[0], options.overwrite, notes)
    with _own(path, notes):
        run = stage_run(path, config, corpus.vocabulary, options.overwrite)
        yield Start(run, corpus, params, plan.seconds, (*notes, *plan.notes))


def _grown(base: Weights, model: ModelConfig) -> Params:
    """The weights to start from, of one network or of several members, under the vocabulary of `model`."""
    old, new = of_one(base.model), of_one(model)
    grown = [grow_parameters(old, each, new) for each in base.networks]
    return tuple(grown) if len(grown) > 1 else grown[0]


def _lasting(init_from: Path | str | None) -> str | None:
    """Where a run starts from, in a form that says it from any folder."""
    return str(user_path(init_from).resolve()) if init_from and init_from != STDIN else None


def _open_text(
    texts: list[str], options: TrainOptions, base: Weights | None, on_event: OnEvent, notes: list[str]
) -> tuple[Corpus, list[Path], str]:
    """The text, its files and how it is cut; under the vocabulary of the weights to start from, grown by what is new.

    Raises:
        CorpusError: it cannot be read, or the separator of its documents does not occur.
    """
    on_progress = _as_events(on_event)
    files = find_files(texts, options.unit, on_progress)
    on_event(Preparing(what="reading the text"))
    kind = options.documents or ("files" if len(files) > 1 else "whole")
    documents = Documents(kind, options.seed)
    read = partial(open_corpus, files, options.unit, options.encoding, documents=documents, on_progress=on_progress)
    corpus = read()
    if documents.is_custom and corpus.documents <= len(files):
        raise CorpusError(
            f"{setting('documents', kind)} is taken for a separator, but does not occur in the text",
            "other than one there are whole, files, lines and blank-lines",
        )
    if base:
        vocabulary = base.vocabulary.grow(corpus.vocabulary)
        added = "".join(c for c in corpus.vocabulary.symbols if c not in base.vocabulary.symbols)
        named = f": {added!r:.60}" if added else ""
        notes.append(f"starting from {options.init_from}; {len(added)} characters are new{named}")
        corpus = read(vocabulary=vocabulary)
    if documents.are_cut:
        notes.append(f"{corpus.documents:,} documents, in random order")
    return corpus, files, kind


def _choose_path(text: str, overwrite: bool, notes: list[str]) -> Path:
    """A folder in runs/ that is named like the text."""
    wanted = RUNS / (
        "stdin" if text == STDIN or is_read_once(user_path(text)) else user_path(text).resolve().stem or "text"
    )
    path = wanted if overwrite else free_name(wanted)
    if path != wanted:
        notes.append(
            f"{wanted} holds an earlier run; if it was stopped, "
            f"{setting('run', wanted)} with {setting('resume', True)} continues it"
        )
    return path


def _as_events(on_event: OnEvent) -> OnProgress:
    return lambda what, done, total: on_event(Preparing(what=what, done=done, total=total))
