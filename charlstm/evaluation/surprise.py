"""Surprise: the nats that each character costs, in order, for one reader who remembers the text from its beginning.

Their sum is what `score_text` says with a single stream. Texts come as code points, in pieces, and memory does not grow
with them: the state is carried from block to block.

T: characters of a window.  K: windows of a block.
"""

import math
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

import jax
import numpy as np

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError
from charlstm.evaluation.static import fitting_window
from charlstm.model.loss import cross_entropy
from charlstm.model.members import merge
from charlstm.model.parameters import abstract_model
from charlstm.model.pool import beside, zero_reading
from charlstm.options import ReadOptions
from charlstm.runs.texts import find_files, names_of, own_text
from charlstm.runs.weights import Weights
from charlstm.text.corpus import open_corpus
from charlstm.text.documents import Documents
from charlstm.text.reading import AS_BYTES, Fingerprint, points_of, text_encoding
from charlstm.text.vocabulary import BOUNDARY, UNKNOWN

_BLOCK = 512  # characters: soon there, and many enough that a dispatch costs nothing beside them
_PIECE = 2**20  # characters of a text that are looked at at a time

Surprises = tuple[np.ndarray, np.ndarray]  # code points and their nats, `[n]` each


def surprises(weights: Weights, text: Iterator[np.ndarray]) -> Iterator[Surprises]:
    """The code points of `text`, in pieces, each with its nats in float64; a boundary before the text is left out.

    They are NaN where there is no prediction: for the first character, and for those that the model does not know,
    which it does not read either. A rare one costs what it costs for itself.
    """
    model, table = weights.model.for_inference(), weights.vocabulary.table
    read, states = _make_reader(model), zero_reading(weights.model, weights.counts, 1)
    network = jax.device_put((weights.params, weights.counts))
    before: np.ndarray | None = None
    pending: deque[tuple[np.ndarray, np.ndarray, jax.Array]] = deque()  # the next is computed while this one is used

    def finished() -> Surprises:
        points, places, found = pending.popleft()
        nats = np.full(len(points), math.nan)
        nats[places] = np.asarray(found).reshape(-1)[: len(places)]
        return points, nats

    for points in _blocks(text, table):
        ids = table[points]
        places = np.flatnonzero(ids != UNKNOWN)
        ids = ids[places]
        if before is None:
            places, before, ids = places[1:], ids[:1], ids[1:]
            if points[0] == BOUNDARY:
                points, places = points[1:], places - 1
        both = np.zeros((2, _BLOCK), np.uint32)
        both[:, : len(ids)] = [np.append(before, ids)[:-1], ids]
        before = np.append(before, ids)[-1:]
        states, found = read(*network, states, *both)
        pending.append((points, places, found))
        if len(pending) > 1:
            yield finished()
    if pending:
        yield finished()


def _blocks(text: Iterator[np.ndarray], table: np.ndarray) -> Iterator[np.ndarray]:
    """The text cut such that each piece but the last has as many known characters as a block; the first one more."""
    waiting, wanted = np.zeros(0, np.uint32), _BLOCK + 1
    for points in text:
        waiting = np.concatenate([waiting, points])
        known = np.flatnonzero(table[waiting] != UNKNOWN)
        *whole, waiting = np.split(waiting, known[wanted - 1 :: _BLOCK] + 1)
        yield from whole
        wanted = _BLOCK if whole else wanted
    if len(waiting):
        yield waiting


@lru_cache(maxsize=4)
def _make_reader(model: ModelConfig):
    """Compile-ready `read(params, counts, states, inputs, targets) -> (states, nats [K, T])`, of a block `[KT]`."""
    definition, _ = abstract_model(model)
    window_length = fitting_window(64, 1, model.rows)

    @jax.jit
    def read(params, counts, states, inputs, targets):
        network = beside(merge(definition, params), counts)

        def window(states, at):
            inputs, targets = at
            logits, states = network(inputs[:, None], states)
            return states, cross_entropy(logits, targets[:, None], model.rare)[:, 0]

        return jax.lax.scan(window, states, (inputs.reshape(-1, window_length), targets.reshape(-1, window_length)))

    return read


def open_points(weights: Weights, options: ReadOptions) -> Iterator[np.ndarray]:
    """The code points of the texts of `options`, or of the validation part of the run that the weights are of.

    All of a text is looked at before the first of it comes, so that what cannot be read is refused at once.

    Raises:
        ConfigError: no text is named, and the run has no validation part.
        CorpusError: a text cannot be found or read.
        RunError: the run's own text has changed since.
        VocabularyError: a text has unknown characters, and they are not to be skipped.
    """
    settings, vocabulary = weights.config.corpus, weights.vocabulary
    if not options.texts:
        own, _ = own_text(weights, options.own_text, options.on_progress)
        ids = own.split(weights.config.training.validation)[1]
        if not len(ids):
            raise ConfigError("the run has no validation part", "name a text to evaluate")
    else:
        files = find_files(names_of(options.texts), settings.unit, options.on_progress)
        encoding, documents = options.encoding or settings.encoding, Documents(settings.documents)
        corpus = open_corpus(
            files, settings.unit, encoding, vocabulary, options.unknown,
            documents=documents, on_progress=options.on_progress,
        )  # fmt: skip
        if corpus.skipped:  # what the model does not know is shown all the same
            encoding = text_encoding(encoding) if settings.unit == "character" else AS_BYTES
            return map(points_of, documents.read(files, settings.unit, encoding, Fingerprint()))
        ids = corpus.ids
    return (vocabulary.points[ids[start : start + _PIECE]] for start in range(0, len(ids), _PIECE))
