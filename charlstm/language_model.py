"""The front door: load, and a trained model that samples, scores, predicts and shows what is inside.

Nothing here computes: every function sets JAX up, unless its caller has, and calls the room that does. JAX is loaded
by the first call, not by importing this.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.arguments import method_takes
from charlstm.config import RunConfig
from charlstm.errors import ConfigError, setting
from charlstm.files import user_path
from charlstm.options import (
    CompleteOptions,
    CompressOptions,
    EvaluateOptions,
    ExportOptions,
    InspectOptions,
    OnProgress,
    ReadOptions,
    ReportOptions,
    SampleOptions,
    SamplesOptions,
    Unknown,
)
from charlstm.runtime.lazy import with_jax
from charlstm.score import Evaluation, Novelty

if TYPE_CHECKING:
    from charlstm.evaluation.characters import Character, Line
    from charlstm.evaluation.files import FileScores
    from charlstm.inspection.attribution import Attribution
    from charlstm.inspection.gates import Gates
    from charlstm.inspection.gradients import GradientFlow
    from charlstm.inspection.neurons import Neurons
    from charlstm.overview import Overview
    from charlstm.runs.weights import Weights
    from charlstm.sampling.completion import Completions
    from charlstm.sampling.prompt import PromptState
    from charlstm.sampling.samples import Sample
    from charlstm.sampling.session import Session
    from charlstm.text.vocabulary import Vocabulary


class LanguageModel:
    """A trained model: settings, vocabulary and parameters."""

    def __init__(self, weights: "Weights") -> None:
        self.weights = weights

    def _weights(self, network_alone: bool) -> "Weights":
        return self.weights.alone if network_alone else self.weights

    @property
    def config(self) -> RunConfig:
        """The settings that it was trained with."""
        return self.weights.config

    @property
    def vocabulary(self) -> "Vocabulary":
        """The characters that it knows."""
        return self.weights.vocabulary

    def __repr__(self) -> str:
        return f"<LanguageModel {self.config.model.words}, {len(self.vocabulary)} {self.vocabulary.unit}s>"

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

    @with_jax
    def _stream(self, options: SampleOptions) -> Iterator[str]:
        from charlstm.sampling.samples import stream_sample

        return stream_sample(self._weights(options.network_alone), options)

    @method_takes(SamplesOptions)
    def samples(self, options: SamplesOptions) -> "list[Sample]":
        """Sample several texts at once: `count` of each of the `prompts`, each the same however many there are.

        One alone is drawn by another program, whose sums differ in their last bits: in some 60,000 characters one may.

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

    @with_jax
    def _groups(self, options: SamplesOptions) -> "Iterator[Iterator[list[Sample]]]":
        from charlstm.sampling.samples import grow_samples

        return grow_samples(self._weights(options.network_alone), options)

    @with_jax
    def read(self, prompt: str = "", unknown: Unknown = "error", state: "PromptState | None" = None) -> "PromptState":
        """What the model is like after `prompt`, for `state` of any number of samples; on from `state`, if given.

        Raises:
            RunError: the state is of another model.
            VocabularyError: the prompt has unknown characters.
        """
        from charlstm.sampling.prompt import read_text, require_own

        if state is not None:
            require_own(state.fingerprint, self.weights, "the prompt's state")
        return read_text(self.weights, self.vocabulary.known_symbols(prompt, unknown), state)

    @with_jax
    def load_state(self, path: Path | str) -> "PromptState":
        """The state that was saved by `read(...).save(path)`.

        Raises:
            RunError: it is missing, damaged, or of another model.
        """
        from charlstm.sampling.prompt import load_state

        return load_state(user_path(path), self.weights)

    @with_jax
    def next_characters(
        self, prompt: str = "", top: int = 10, state: "PromptState | None" = None, network_alone: bool = False
    ) -> list[tuple[str, float]]:
        """The `top` characters that are most likely after `prompt`, with their probabilities, at temperature 1.

        Of a model of bytes they are bytes, each as the character of that number. The prompt goes on from `state`, if it
        is given.

        Raises:
            RunError: the state is of another model.
            VocabularyError: the prompt has unknown characters.
        """
        from charlstm.sampling.prompt import next_symbols

        return next_symbols(self._weights(network_alone), self.read(prompt, state=state), top)

    @method_takes(CompleteOptions)
    @with_jax
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

        after = self.read(options.prompt, options.unknown, options.state)
        return Completer(self._weights(options.network_alone)).complete(
            after, options.to, options.top, options.expansions
        )

    @method_takes(SampleOptions)
    @with_jax
    def session(self, options: SampleOptions) -> "Session":
        """A text that is written in turns, from `state` on: `turn(typed)` gives what follows what was typed.

        Raises:
            ConfigError: an option is out of range.
            RunError: the state is of another model.
        """
        from charlstm.sampling.session import Session

        for name in ("novel", "dynamic"):
            if getattr(options, name):
                raise ConfigError(f"{setting(name, True)} is not for a text that is written in turns")
        return Session(self._weights(options.network_alone), options)

    @method_takes(EvaluateOptions)
    @with_jax
    def evaluate(self, options: EvaluateOptions) -> Evaluation:
        """Score texts or, if none are named, the validation part of the text that the model was trained on.

        Raises:
            ConfigError: an option is out of range, or no text is named and there is no validation part.
            CorpusError: a text cannot be found or read.
            RunError: the model's own text has changed since.
            VocabularyError: a text has unknown characters, and they are not to be skipped.
        """
        from charlstm.evaluation.report import evaluate

        return evaluate(self._weights(options.network_alone), options)

    @method_takes(EvaluateOptions)
    @with_jax
    def evaluate_files(self, options: EvaluateOptions) -> "FileScores":
        """Score each file of texts for itself: `scores`, the best predicted first, of folders one a file.

        A file that cannot be read, or that has unknown characters which are not to be skipped, is among the `refused`.

        Raises:
            ConfigError: an option is out of range, no text is named, or what is asked for goes with a single score.
        """
        from charlstm.evaluation.files import score_files

        return score_files(self._weights(options.network_alone), options)

    @method_takes(InspectOptions)
    @with_jax
    def gradient_flow(self, options: InspectOptions) -> "GradientFlow":
        """How gradients flow back: their norms by lag, the growth of small changes; beside the cells before training.

        Raises:
            ConfigError: an option is out of range, or no text is named and there is no validation part.
            CorpusError: the text cannot be found or read, or has fewer than three characters.
            RunError: a run beside cannot be loaded, or numbers are not finite; the model's own text has changed since.
            VocabularyError: the text has unknown characters, and they are not to be skipped.
        """
        from charlstm.inspection.gradients import gradient_flow

        return gradient_flow(self.weights, options)

    @with_jax
    def novelty(self, text: str, own_text: Path | str | None = None, unknown: Unknown = "error") -> Novelty:
        """How much of `text` is new: what of it stands, character for character, in the training part of its own text.

        Raises:
            CorpusError, RunError: that text is gone or has changed; `own_text` says where it is now.
            VocabularyError: `text` has unknown characters, and they are not to be skipped.
        """
        from charlstm.evaluation.report import novelty_of

        return novelty_of(self.weights, text, own_text, unknown)

    @method_takes(ReadOptions)
    @with_jax
    def per_character(self, options: ReadOptions) -> "Iterator[Character]":
        """Each character of texts with its surprise in `nats` and `bits`, as they are read: by one reader, in order.

        The sum is the score of `evaluate(exact=True)`. The first character has no prediction and NaN, and so have, with
        `unknown="skip"`, those that the model does not know. Without texts it is the validation part that is read.

        Raises:
            ConfigError: an option is out of range, or no text is named and there is no validation part.
            CorpusError: a text cannot be found or read.
            RunError: the model's own text has changed since.
            VocabularyError: a text has unknown characters, and they are not to be skipped.
        """
        from charlstm.evaluation.characters import characters
        from charlstm.evaluation.surprise import open_points, surprises
        from charlstm.runtime.setup import each_within, ready_jax

        pieces = surprises(self._weights(options.network_alone), open_points(self.weights, options))
        return characters(self.vocabulary, each_within(ready_jax, pieces))

    @method_takes(ReadOptions)
    def per_line(self, options: ReadOptions) -> "Iterator[Line]":
        """Each line of texts with its surprise; else as `per_character`.

        Raises:
            ConfigError: an option is out of range, or no text is named and there is no validation part.
            CorpusError: a text cannot be found or read.
            RunError: the model's own text has changed since.
            VocabularyError: a text has unknown characters, and they are not to be skipped.
        """
        from charlstm.evaluation.characters import lines

        return lines(self.per_character(**vars(options)))

    @method_takes(InspectOptions)
    @with_jax
    def gates(self, options: InspectOptions) -> "Gates":
        """What the gates do over a text or, without one, over pieces of the validation part.

        `layers[1].arrays["forget"]` `[N, H]` is over the characters that are shown; `closed` and `open`, shares of the
        time, and `time_constants`, in characters, are of each unit, over all that were read.

        Raises:
            ConfigError: an option is out of range, there is no such layer, or no text.
            CorpusError: the text cannot be found or read.
            RunError: the model's own text has changed since, or its weights are not finite.
            VocabularyError: the text has unknown characters, and they are not to be skipped.
        """
        from charlstm.inspection.gates import open_gates

        return open_gates(self.weights, options)

    @method_takes(InspectOptions)
    @with_jax
    def neurons(self, options: InspectOptions) -> "Neurons":
        """Which units follow which features of a text or, without one, of the validation part.

        `neurons` has for each feature the best unit with its held-out `score`, what the best gets by `luck` and
        `untrained`, and its `meaning`; with `unit="1.37"` that unit with each feature. `scores` are those of all units.

        Raises:
            ConfigError: an option is out of range, there is no such layer or unit, or no text.
            CorpusError: the text cannot be found or read, or is too short.
            RunError: the model's own text has changed since, or its weights are not finite.
            VocabularyError: the text has unknown characters, and they are not to be skipped.
        """
        from charlstm.inspection.neurons import find_neurons

        return find_neurons(self.weights, options)

    @method_takes(InspectOptions)
    @with_jax
    def attribution(self, options: InspectOptions) -> "list[Attribution]":
        """Which characters before it a prediction rests on: that at the end of a text, or those at the places `at`.

        Each has for the `last` characters `gradient_x_input` and `left_out`, what the log-probability of the
        `target` loses without the character, in nats.

        Raises:
            ConfigError: an option is out of range, there is no such place, or no text.
            CorpusError: the text cannot be found or read.
            RunError: the model's own text has changed since, or its weights are not finite.
            VocabularyError: the text has unknown characters, and they are not to be skipped.
        """
        from charlstm.inspection.attribution import attribute

        return attribute(self.weights, options)

    @method_takes(CompressOptions)
    @with_jax
    def compress(self, options: CompressOptions) -> bytes:
        """Any bytes made small: what this model finds likely takes few bits.

        The same model decompresses them where its probabilities are the same to the last bit: on the same kind of
        processor, with the same version of JAX.

        Raises:
            ConfigError: the extra `compress` is not installed.
            MemoryLimitError: there is not memory enough.
        """
        from charlstm.compression.packing import compress

        return compress(self.weights, options)

    @with_jax
    def decompress(self, data: bytes, name: str = "the data", on_progress: OnProgress | None = None) -> bytes:
        """What `compress` was given; messages call the compressed data `name`.

        Raises:
            ConfigError: the extra `compress` is not installed.
            CorpusError: the data are damaged, or nothing that was compressed.
            RunError: they were compressed with another model, or elsewhere, where probabilities are rounded otherwise.
            MemoryLimitError: there is not memory enough.
        """
        from charlstm.compression.packing import decompress

        return decompress(self.weights, data, name, on_progress)

    def report(self, path: Path | str, **options: Any) -> None:
        """Write a page about the model for a browser: one HTML file that needs nothing else.

        Card, learning curves, samples, a passage with the surprise of each character, what happens inside while it is
        read, and scores without a network. The options are those of `ReportOptions`: `temperature`, `length` and `seed`
        of the samples, `text` or `file`, `passage`, `own_text`, `unknown`, `encoding`, `baseline`, `inside`,
        `on_progress`.

        Raises:
            ConfigError: an option is out of range, or contradicts another.
            CorpusError: the file of the passage cannot be found or read.
            VocabularyError: the passage has unknown characters, and they are not to be skipped.
            StorageError: the page cannot be written.
        """
        from charlstm.display.report import write_report

        write_report(self.overview(**options), user_path(path))

    @method_takes(ReportOptions)
    @with_jax
    def overview(self, options: ReportOptions) -> "Overview":
        """What a report says, as facts and arrays.

        Raises:
            ConfigError: an option is out of range, or contradicts another.
            CorpusError: the file of the passage cannot be found or read.
            VocabularyError: the passage has unknown characters, and they are not to be skipped.
        """
        from charlstm.overview import overview

        return overview(self.weights, options)

    def save(self, path: Path | str) -> None:
        """Save the model as one file, which `load` reads: parameters, settings and vocabulary.

        Raises:
            StorageError: it cannot be written.
        """
        from charlstm.runs.weights import save_weights

        save_weights(user_path(path), self.weights)

    @method_takes(ExportOptions)
    @with_jax
    def export_onnx(self, options: ExportOptions) -> None:
        """Write the network, without counts, as an ONNX model for other programs; what they must know stands beside it.

        Its inputs are ids and states, its outputs the probabilities of the next characters and the new states. The
        metadata `config`, `vocabulary`, `symbols` and `start` are JSON, and as JSON they are in the file beside it.

        Raises:
            ConfigError: the extra `onnx` is not installed, the name is wrong, or the network is larger than 2 GiB.
            StorageError: there is a file already, or it cannot be written.
        """
        from charlstm.export.saving import export_onnx

        export_onnx(self.weights, options)


@with_jax
def load(path: Path | str | None = None) -> LanguageModel:
    """The best model of a run, or the one in a weights file, or in standard input as "-".

    By default it is that of the newest run in runs/.

    Raises:
        RunError: it is missing, damaged or of another format.
    """
    from charlstm.runs.finding import newest_run
    from charlstm.runs.folder import WEIGHTS
    from charlstm.runs.weights import load_weights

    return LanguageModel(load_weights(path if path is not None else newest_run(having=[WEIGHTS])))
