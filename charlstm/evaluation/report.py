"""Everything that `evaluate` is asked for: which text is scored, the model's own score, and those beside it."""

from pathlib import Path

import numpy as np

from charlstm.errors import ConfigError, setting
from charlstm.evaluation.baseline import BYTES, MAX_SCORED, MAX_TRAINING, baselines
from charlstm.evaluation.dynamic import Adapter
from charlstm.evaluation.mixture import mixture
from charlstm.evaluation.novelty import novelty
from charlstm.evaluation.predictions import Predictions
from charlstm.evaluation.static import OnScored, score_text, score_windows
from charlstm.evaluation.tally import score_of
from charlstm.options import EvaluateOptions, OnProgress, Unknown
from charlstm.runs.texts import names_of, open_texts, own_text
from charlstm.runs.weights import Weights
from charlstm.runtime.memory import require_memory
from charlstm.score import Evaluation, Novelty, Score
from charlstm.text.corpus import Corpus
from charlstm.text.documents import count_boundaries
from charlstm.text.vocabulary import Vocabulary


def evaluate(weights: Weights, options: EvaluateOptions) -> Evaluation:
    """Score the texts of `options`, or the validation part of the run that the weights are of.

    Raises:
        ConfigError: no text is named, and the run has no validation part.
        CorpusError: a text cannot be found or read.
        RunError: the run's own text has changed since.
        VocabularyError: a text has unknown characters, and they are not to be skipped.
    """
    on_progress = options.on_progress or (lambda what, done, total: None)

    def scoring(what: str) -> OnScored:
        return lambda characters: on_progress(what, characters, len(ids) - 1)

    on_progress("reading the text", 0, 0)
    corpus, ids, training_ids, name = _read(weights, options)
    streams = 1 if options.exact else None
    found = Predictions.empty(min(len(ids) - 1, MAX_SCORED)) if options.baseline else None
    score, beside = own_scores(weights, ids, found, options.dynamic, streams, scoring("scoring"))
    if options.windows:
        name_of_windows = f"windows of {options.windows}"
        beside[name_of_windows] = score_windows(weights, ids, options.windows, scoring(f"scoring {name_of_windows}"))
    learned = None
    if options.dynamic:
        on_progress("tuning dynamic evaluation on the training part", 0, 0)
        adapter = Adapter.measured(weights, training_ids, options.exact)
        adapter, rule = adapter.tuned(training_ids)
        learned = adapter.predict(ids, rule, scoring("learning while scoring"))
        beside["dynamic"] = score_of(learned.nats, weights.vocabulary.byte_lengths[ids[1:]])
    if found:
        beside |= beside_counts(found, training_ids, ids, weights.vocabulary, on_progress)
        if learned:
            beside["dynamic with adaptive n-grams"] = mixture(
                learned, training_ids, ids, weights.vocabulary, adaptive=True
            )
    new = None
    if options.novelty:
        on_progress("looking for the text in the training part", 0, 0)
        new = novelty(ids, training_ids, weights.vocabulary)
    boundary = weights.vocabulary.boundary
    boundaries = 0 if boundary is None else count_boundaries(ids[1:], boundary)
    return Evaluation(
        score.nats, score.characters, score.utf8_bytes, score.standard_error,
        name, corpus.skipped, beside, boundaries, new,
    )  # fmt: skip


def own_scores(
    weights: Weights,
    ids: np.ndarray,
    found: Predictions | None,
    is_alone_wanted: bool = False,
    streams: int | None = None,
    on_scored: OnScored = lambda characters: None,
) -> tuple[Score, dict[str, Score]]:
    """The score and, where counts stand beside the network, its own if that is wanted or its predictions are.

    These are written to `found`, if it is given.
    """
    if not weights.counts:
        return score_text(weights, ids, streams, on_scored, found), {}
    beside = dict[str, Score]()
    if found or is_alone_wanted:
        beside["network alone"] = score_text(weights.alone, ids, streams, on_scored, found)
    return score_text(weights, ids, streams, on_scored), beside


def beside_counts(
    found: Predictions, training_ids: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary, on_progress: OnProgress
) -> dict[str, Score]:
    """What counts make of `ids`, and experts that count mixed with the network, whose predictions were `found`.

    Raises:
        MemoryLimitError: there is not memory enough.
    """
    counted = min(len(training_ids), MAX_TRAINING) + min(len(ids), MAX_SCORED)
    require_memory(BYTES * counted, "counting n-grams", f"leave {setting('baseline')} out")
    on_progress("counting n-grams", 0, 0)
    scores = baselines(training_ids, ids, vocabulary)
    on_progress("mixing with n-grams", 0, 0)
    return scores | {"with n-grams": mixture(found, training_ids, ids, vocabulary, adaptive=False)}


def novelty_of(weights: Weights, text: str, named: Path | str | None, unknown: Unknown) -> Novelty:
    """How much of `text` is new beside the training part of the model's own, which may be `named` now.

    Raises:
        CorpusError, RunError: that is gone or has changed.
        VocabularyError: the text has unknown characters, and they are not to be skipped.
    """
    ids = weights.vocabulary.encode(weights.vocabulary.known_symbols(text, unknown))
    own, _ = own_text(weights, named)
    return novelty(ids, own.split(weights.config.training.validation)[0], weights.vocabulary)


def _read(weights: Weights, options: EvaluateOptions) -> tuple[Corpus, np.ndarray, np.ndarray, str]:
    """The corpus, its part to score, the training part of the run if that is needed, and the scored part's name."""
    settings, validation = weights.config.corpus, weights.config.training.validation
    training_ids = np.zeros(0, weights.vocabulary.id_type)
    if not options.texts or options.dynamic or options.baseline or options.novelty:
        own, _ = own_text(weights, options.own_text, options.on_progress)
        training_ids, held_out = own.split(validation)
        if not options.texts:
            if not len(held_out):
                raise ConfigError("the run has no validation part", "name a text to evaluate")
            return own, held_out, training_ids, "the validation part"
    encoding = options.encoding or settings.encoding
    corpus = open_texts(
        options.texts,
        settings.unit,
        encoding,
        weights.vocabulary,
        options.unknown,
        options.on_progress,
        settings.documents,
    )
    return corpus, corpus.ids, training_ids, ", ".join(names_of(options.texts))
