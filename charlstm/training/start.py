"""From what a user asked for to a run that can be trained: its text, its settings, its folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from charlstm.config import CorpusConfig, RunConfig
from charlstm.errors import ConfigError, setting
from charlstm.events import Event, Preparing
from charlstm.files import user_path
from charlstm.model.parameters import grow_parameters
from charlstm.options import OnProgress, TrainOptions
from charlstm.runs.folder import RUNS, Run, create_run, free_name, newest_run, open_run
from charlstm.runs.texts import find_files, names_of, reopen
from charlstm.runs.weights import Weights, load_weights
from charlstm.runtime.setup import versions
from charlstm.text.corpus import Corpus, lasting_names, open_corpus
from charlstm.text.spool import STDIN, is_read_once
from charlstm.training.plan import resolve

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, eq=False)
class Start:
    """A run and its text, the parameters to start from, if any, and notes for the user.

    `seconds` were spent on measuring the machine; they count as training.
    """

    run: Run
    corpus: Corpus
    params: nnx.State[Any, Any] | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def resume_run(options: TrainOptions, on_event: OnEvent) -> Start:
    """The run to continue: the one that is named, or the newest.

    Raises:
        RunError: there is none, it is damaged, or its text has changed.
        CorpusError: its text is gone.
    """
    run = open_run(user_path(options.run) if options.run else newest_run())
    on_event(Preparing(what="reading the text"))
    return Start(run, reopen(run.config.corpus, run.vocabulary, _as_events(on_event)))


def new_run(options: TrainOptions, on_event: OnEvent) -> Start:
    """A new run, its settings closed and its folder made.

    Raises:
        ConfigError: settings contradict each other, the text or the weights to start from.
        CorpusError: a text cannot be found or read.
        RunError: there is a run already, or the weights to start from cannot be read.
        StorageError: the folder cannot be written.
    """
    texts = names_of(options.texts)
    base = load_weights(options.init_from) if options.init_from else None
    if base and base.vocabulary.unit != options.unit:
        raise ConfigError(
            f"{setting('unit', options.unit)}, but {options.init_from} reads {base.vocabulary.unit}s",
            "use the same unit",
        )
    notes: list[str] = []
    corpus, files = _open_text(texts, options, base, on_event, notes)
    training, held_out = corpus.split(options.validation)
    if options.validation and not len(held_out):
        notes.append("the text is too short to hold anything out: there will be no validation")
    on_event(Preparing(what="measuring this machine"))
    symbols, rare, devices = len(corpus.vocabulary), corpus.vocabulary.rare, jax.local_device_count()
    plan = resolve(options, len(training), symbols, devices, base and base.model, rare=rare)
    config = RunConfig(
        model=plan.model,
        training=plan.training,
        corpus=CorpusConfig(
            sources=lasting_names(texts, files),
            unit=options.unit,
            encoding=options.encoding,
            fingerprint=corpus.fingerprint,
            characters=len(corpus),
        ),
        versions=versions(),
    )
    path = user_path(options.run) if options.run else _choose_path(texts[0], options.overwrite, notes)
    run = create_run(path, config, corpus.vocabulary, options.overwrite)
    params = grow_parameters(base.model, base.params, plan.model) if base else None
    return Start(run, corpus, params, plan.seconds, (*notes, *plan.notes))


def _open_text(
    texts: list[str], options: TrainOptions, base: Weights | None, on_event: OnEvent, notes: list[str]
) -> tuple[Corpus, list[Path]]:
    """The text and its files; under the vocabulary of the weights to start from, grown by what is new, if any."""
    files = find_files(texts, options.unit, _as_events(on_event))
    on_event(Preparing(what="reading the text"))
    corpus = open_corpus(files, options.unit, options.encoding)
    if base:
        vocabulary = base.vocabulary.grow(corpus.vocabulary)
        added = "".join(c for c in corpus.vocabulary.symbols if c not in base.vocabulary.symbols)
        named = f": {added!r:.60}" if added else ""
        notes.append(f"starting from {options.init_from}; {len(added)} characters are new{named}")
        corpus = open_corpus(files, options.unit, options.encoding, vocabulary)
    return corpus, files


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
