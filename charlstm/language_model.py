"""The front door: train, load, and a trained model that samples, scores and predicts.

Nothing here computes: every function sets JAX up, unless its caller has, and calls the room that does. JAX is loaded
by the first call, not by importing this.
"""

import codecs
import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from charlstm.arguments import method_takes, takes
from charlstm.config import RunConfig
from charlstm.errors import ConfigError, setting
from charlstm.events import Event, Started
from charlstm.files import user_path
from charlstm.options import CompleteOptions, EvaluateOptions, SampleOptions, SamplesOptions, TrainOptions, Unknown
from charlstm.score import Evaluation

if TYPE_CHECKING:
    import numpy as np

    from charlstm.runs.weights import Weights
    from charlstm.sampling.completion import Completions
    from charlstm.sampling.ends import Ends
    from charlstm.sampling.generation import Sample
    from charlstm.sampling.prompt import PromptState
    from charlstm.sampling.session import Session
    from charlstm.text.vocabulary import Vocabulary

P = ParamSpec("P")
T = TypeVar("T")


def _with_jax(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function with JAX as runtime/setup.py has it; what that needs is not worth the wait for `--help`."""

    @functools.wraps(function)
    def run(*args: P.args, **named: P.kwargs) -> T:
        from charlstm.runtime.setup import ready_jax

        with ready_jax():
            return function(*args, **named)

    return run


def _ready() -> AbstractContextManager[None]:
    from charlstm.runtime.setup import ready_jax

    return ready_jax()


def _seed(options: SampleOptions) -> int:
    """The seed that is given, or one that is drawn."""
    import secrets

    return secrets.randbelow(2**32) if options.seed is None else options.seed


class LanguageModel:
    """A trained model: settings, vocabulary and parameters."""

    def __init__(self, weights: "Weights") -> None:
        self.weights = weights

    @property
    def config(self) -> RunConfig:
        """The settings that it was trained with."""
        return self.weights.config

    @property
    def vocabulary(self) -> "Vocabulary":
        """The characters that it knows."""
        return self.weights.vocabulary

    def __repr__(self) -> str:
        shape = self.config.model
        return (
            f"<LanguageModel {shape.layers} x {shape.hidden_size} {shape.cell.upper()}, "
            f"{len(self.vocabulary)} {self.vocabulary.unit}s>"
        )

    @method_takes(SampleOptions)
    def sample(self, options: SampleOptions) -> str:
        """Sample a text that follows a prompt; the prompt itself is not returned.

        Raises:
            ConfigError: an option is out of range, or the text would never end.
            RunError: the state is of another model.
            VocabularyError: the prompt has unknown characters, and they are not to be skipped.
            CorpusError, RunError: only new documents are asked for, and the model's own text is gone or has changed.
        """
        if options.is_endless:
            raise ConfigError(f"{setting('length', 0)} is endless", "take its pieces from `stream`, or give it an end")
        return "".join(self._stream(options))

    @method_takes(SampleOptions)
    def stream(self, options: SampleOptions) -> Iterator[str]:
        """The same text as `sample`, in pieces, each as soon as it is there; with a length of 0 it need not end.

        Raises:
            ConfigError: an option is out of range.
            RunError: the state is of another model.
            VocabularyError: the prompt has unknown characters, and they are not to be skipped.
        """
        return self._stream(options)

    @method_takes(SamplesOptions)
    def samples(self, options: SamplesOptions) -> "list[Sample]":
        """Sample several texts at once: `count` of each of the `prompts`, each as if it were sampled alone.

        Raises:
            ConfigError: an option is out of range, or the texts would never end.
            RunError: the state is of another model.
            VocabularyError: a prompt has unknown characters, and they are not to be skipped.
        """
        if options.is_endless:
            raise ConfigError(f"{setting('length', 0)} is endless", "take its pieces from `stream`, or give it an end")
        return [sample for group in self._groups(options) for sample in deque(group, maxlen=1).pop()]

    @method_takes(SamplesOptions)
    def growing_samples(self, options: SamplesOptions) -> "Iterator[Iterator[list[Sample]]]":
        """The texts of `samples` in groups that are sampled at once, each as often as all of its texts have grown.

        Raises:
            ConfigError: an option is out of range.
            RunError: the state is of another model.
            VocabularyError: a prompt has unknown characters, and they are not to be skipped.
        """
        return self._groups(options)

    @_with_jax
    def read(self, prompt: str = "", unknown: Unknown = "error", state: "PromptState | None" = None) -> "PromptState":
        """What the model is like after `prompt`, for `state` of any number of samples; on from `state`, if given.

        Raises:
            RunError: the state is of another model.
            VocabularyError: the prompt has unknown characters.
        """
        return self._read(self._symbols(prompt, unknown == "skip"), state)

    @_with_jax
    def load_state(self, path: Path | str) -> "PromptState":
        """The state that was saved by `read(...).save(path)`.

        Raises:
            RunError: it is missing, damaged, or of another model.
        """
        from charlstm.sampling.prompt import load_state

        return load_state(user_path(path), self.weights)

    def _read(self, symbols: str, state: "PromptState | None") -> "PromptState":
        from charlstm.sampling.generation import read_text
        from charlstm.sampling.prompt import require_own

        if state is not None:
            require_own(state.fingerprint, self.weights, "the prompt's state")
        return read_text(self.weights, symbols, state)

    @_with_jax
    def _stream(self, options: SampleOptions) -> Iterator[str]:
        """Bytes that are no UTF-8 come as lone surrogates, as Python's own `surrogateescape` has them."""
        from charlstm.runs.texts import own_text
        from charlstm.sampling.ending import Ending
        from charlstm.sampling.filters import Filters
        from charlstm.sampling.generation import generate

        prompt = self._symbols(options.prompt, options.unknown == "skip")
        mask, ends, length, cut = self._mask(options), self._ends(options), options.length, None
        if options.documents:
            own = own_text(self.weights, options.own_text)[0] if options.novel else None
            ending = Ending.after(options.documents, self.vocabulary, own)
            length = 0
            cut = functools.partial(ending.cut, prompt=self.vocabulary.encode_prompt(prompt))
        after = self._read(prompt, options.state)
        pieces = generate(self.weights, after, length, Filters.of(options), _seed(options), mask, ends, cut)
        if self.vocabulary.unit == "character":
            return pieces
        return codecs.iterdecode((piece.encode("latin-1") for piece in pieces), "utf-8", "surrogateescape")

    @_with_jax
    def _groups(self, options: SamplesOptions) -> "Iterator[Iterator[list[Sample]]]":
        from charlstm.sampling.filters import Filters
        from charlstm.sampling.generation import MAX_STREAMS, Sample, generate_samples

        if options.documents:
            raise ConfigError(
                f"{setting('documents')} is not for several samples, nor for JSON", "sample one as a text"
            )
        seed, mask, filters = _seed(options), self._mask(options), Filters.of(options)
        prompts = [self._symbols(prompt, options.unknown == "skip") for prompt in options.prompts or [options.prompt]]
        self._ends(options)

        def grow(numbers: range) -> "Iterator[list[Sample]]":
            samples: list[Sample] = []
            after: list[PromptState] = []
            for prompt in range(numbers[0] // options.count, numbers[-1] // options.count + 1):
                first, last = prompt * options.count, (prompt + 1) * options.count
                own = range(max(first, numbers[0]), min(last, numbers[-1] + 1))
                text = self.vocabulary.text_of(prompts[prompt])
                samples += [Sample(text, (seed + number) % 2**32, self.vocabulary) for number in own]
                with _ready():
                    after += [self._read(prompts[prompt], options.state)] * len(own)
            ends = [self._ends(options) for _ in samples]
            for _ in generate_samples(self.weights, samples, after, options.length, filters, mask, ends):
                yield samples

        total = len(prompts) * options.count
        return (grow(range(first, min(first + MAX_STREAMS, total))) for first in range(0, total, MAX_STREAMS))

    def _mask(self, options: SampleOptions) -> "np.ndarray | None":
        from charlstm.sampling.allowed import allowed_mask

        return allowed_mask(self.vocabulary, options.only, options.ban)

    def _ends(self, options: SampleOptions) -> "Ends":
        from charlstm.sampling.ends import Ends, check_ends

        until = [self.vocabulary.symbols_of(text) for text in options.ends]
        check_ends(self.vocabulary, until, options.lines)
        return Ends(until, options.lines)

    def _symbols(self, prompt: str, skip_unknown: bool = False) -> str:
        """A prompt in symbols of the vocabulary, all of them known."""
        symbols = self.vocabulary.symbols_of(prompt)
        if skip_unknown:
            symbols = self.vocabulary.keep_known(symbols)
        self.vocabulary.encode(symbols)  # names unknown characters before anything is sampled
        return symbols

    @_with_jax
    def next_characters(
        self, prompt: str = "", top: int = 10, state: "PromptState | None" = None
    ) -> list[tuple[str, float]]:
        """The `top` characters that are most likely after `prompt`, with their probabilities, at temperature 1.

        Of a model of bytes they are bytes, each as the character of that number. The prompt goes on from `state`, if it
        is given.

        Raises:
            RunError: the state is of another model.
            VocabularyError: the prompt has unknown characters.
        """
        from charlstm.sampling.generation import next_symbols

        return next_symbols(self.weights, self._read(self._symbols(prompt), state), top)

    @method_takes(CompleteOptions)
    @_with_jax
    def complete(self, options: CompleteOptions) -> "Completions":
        """The most probable continuations of a prompt up to the end of a word or of a line, the most probable first.

        Each has a `text` and its `probability`; the list says whether it is `exact`, or whether others that were not
        looked at might be as probable.

        Raises:
            ConfigError: an option is out of range.
            RunError: the state is of another model, or the weights are not finite.
            VocabularyError: the prompt has unknown characters, and they are not to be skipped.
        """
        from charlstm.sampling.completion import Completer

        after = self._read(self._symbols(options.prompt, options.unknown == "skip"), options.state)
        return Completer(self.weights).complete(after, options.to, options.top, options.expansions)

    @method_takes(SampleOptions)
    @_with_jax
    def session(self, options: SampleOptions) -> "Session":
        """A text that is written in turns, from `state` on: `turn(typed)` gives what follows what was typed.

        Raises:
            ConfigError: an option is out of range.
            RunError: the state is of another model.
        """
        from charlstm.sampling.session import Session

        if options.novel:
            raise ConfigError(f"{setting('novel', True)} is not for a text that is written in turns")
        return Session(self.weights, dataclasses.replace(options, seed=_seed(options)))

    @method_takes(EvaluateOptions)
    @_with_jax
    def evaluate(self, options: EvaluateOptions) -> Evaluation:
        """Score texts or, if none are named, the validation part of the text that the model was trained on.

        Raises:
            ConfigError: an option is out of range, or no text is named and there is no validation part.
            CorpusError: a text cannot be found or read.
            RunError: the model's own text has changed since.
            VocabularyError: a text has unknown characters, and they are not to be skipped.
        """
        from charlstm.evaluation.report import evaluate

        return evaluate(self.weights, options)

    def save(self, path: Path | str) -> None:
        """Save the model as one file, which `load` reads: parameters, settings and vocabulary.

        Raises:
            StorageError: it cannot be written.
        """
        from charlstm.runs.weights import save_weights

        save_weights(user_path(path), self.weights)


@_with_jax
def load(path: Path | str | None = None) -> LanguageModel:
    """The best model of a run, or the one in a weights file, or in standard input as "-".

    By default it is that of the newest run in runs/.

    Raises:
        RunError: it is missing, damaged or of another format.
    """
    from charlstm.runs.folder import WEIGHTS, newest_run
    from charlstm.runs.weights import load_weights

    return LanguageModel(load_weights(path if path is not None else newest_run(having=[WEIGHTS])))


@takes(TrainOptions)
def train(options: TrainOptions) -> LanguageModel:
    """Train a model on texts, for about three minutes unless told otherwise; returns the best one by validation loss.

    `texts` are files, folders, named corpora or "-" for standard input, one or a list. The run is kept in a folder, so
    that nothing is lost: a run that was stopped continues with `resume=True`, and with `minutes`, `epochs` or `steps`
    beside it for so much more than it has done; `texts` then say where its text is now, if that has moved. `on_event`
    is called with every event (see `charlstm.events`); once `should_stop` returns True, the run is saved and ends, and
    when `should_save` does, it is saved and goes on.

    Raises:
        ConfigError: an option is out of range, or contradicts another.
        CorpusError: a text cannot be found or read.
        RunError: there is a run already, or none to resume.
        TrainingError: the loss is not finite, again and again.
        StorageError: the run cannot be written; what was saved before is whole.
    """
    from charlstm.runtime.setup import each_within, ready_jax

    def show(event: Event) -> None:
        if options.on_event:
            options.on_event(event)

    def never() -> bool:
        return False

    should_stop, should_save = options.should_stop or never, options.should_save or never
    with ExitStack() as stack:
        with ready_jax():
            from charlstm.model.parameters import count_parameters
            from charlstm.training import loop
            from charlstm.training.start import starting

            start = stack.enter_context(starting(options, show))
            run, parameters = start.run, count_parameters(start.run.config.model)
        training = loop.train(run, start.corpus, start.params, options.resume, should_stop, should_save, start.seconds)
        stack.enter_context(closing(training))  # if `show` fails, what was trained is saved
        events = each_within(ready_jax, training)
        first = next(events)  # a run that cannot go on is refused before it is said to have started
        show(Started(run=run.path, config=run.config, parameters=parameters, notes=start.notes))
        for event in chain([first], events):
            show(event)
    return load(run.path)
