"""Everything that a report says of a model: facts and arrays, which display/report.py puts on a page."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np

from charlstm.errors import CharLSTMError, ConfigError, CorpusError, RunError
from charlstm.evaluation.characters import characters
from charlstm.evaluation.predictions import Predictions as Found
from charlstm.evaluation.report import beside_counts, own_scores
from charlstm.files import user_path
from charlstm.inspection.gates import Gates, open_gates, read_gates
from charlstm.inspection.gradients import GradientFlow, gradient_flow
from charlstm.inspection.neurons import Neurons, find_neurons
from charlstm.inspection.painting import Painting, paint
from charlstm.inspection.passage import Passage, open_passage
from charlstm.inspection.predictions import Predictions, predict
from charlstm.options import InspectOptions, ReportOptions, SampleOptions
from charlstm.runs.card import Card, card_of
from charlstm.runs.texts import own_text
from charlstm.runs.weights import Weights
from charlstm.sampling.samples import stream_sample
from charlstm.score import Score
from charlstm.text.spool import is_read_once
from charlstm.text.vocabulary import Vocabulary

T = TypeVar("T")

_SCORED = 2**18  # characters of the validation part, its first ones, that are scored
_WATCHED, _PAINTED = 160, 400  # characters of the passage whose gates are shown, and over which neurons are painted
_PAINTINGS = 4
_NO_TEXT = (ConfigError, CorpusError, RunError)  # the model's own text is gone, or has no validation part
_FOLDERS = re.compile(r"(?<!\w)(?:~|\.\.?|[A-Za-z]:)?[/\\](?:[^/\\'\"\n]*[/\\])*(?=\S)")


class Letter(NamedTuple):
    """A character of the passage, its surprise in bits (NaN where nothing predicts it), and what was likeliest."""

    text: str
    bits: float
    likeliest: list[tuple[str, float]]


class Inside(NamedTuple):
    """What happens inside over a longer text; None where it cannot be seen, and the `reasons` in words."""

    gates: Gates | None
    neurons: Neurons | None
    flow: GradientFlow | None
    reasons: list[str]


class Sampled(NamedTuple):
    """A text that was sampled."""

    temperature: float
    seed: int
    text: str


@dataclass(frozen=True)
class Overview:
    """What a report says of a model.

    `where` says what the passage, whose characters are the `letters`, is of; `gates` are of its beginning, and over it
    the best neurons are painted. `scores` are of the first characters of the validation part, the model's own as "this
    model" and, where counts are beside it, "network alone"; `no_scores` says why there are none. What happens
    inside is the network's alone.
    """

    card: Card
    samples: list[Sampled]
    letters: list[Letter]
    where: str
    gates: Gates
    inside: Inside
    paintings: list[Painting]
    scores: dict[str, Score]
    no_scores: str = ""


def overview(weights: Weights, options: ReportOptions) -> Overview:
    """Look at a model from all sides.

    Raises:
        ConfigError: an option contradicts another.
        CorpusError: the file of the passage cannot be found or read.
        VocabularyError: the passage has unknown characters, and they are not to be skipped.
        RunError: the run is damaged.
    """
    on_progress = options.on_progress or (lambda what, done, total: None)
    card, samples = card_of(weights), list[Sampled]()
    for temperature in options.temperatures:
        on_progress("sampling", len(samples), len(options.temperatures))
        asked = SampleOptions(length=options.length, temperature=temperature, seed=options.seed)
        samples.append(Sampled(temperature, options.seed, "".join(stream_sample(weights, asked))))
    on_progress("reading the passage", 0, 0)
    passage = _passage(weights, options, samples[0].text)
    ids = passage.pieces[0]
    letters = list(_letters(weights.vocabulary, ids, predict(weights, ids)))
    scores, reason = dict[str, Score](), "they were not asked for"
    if options.baseline:
        on_progress("scoring the validation part", 0, 0)
        try:
            scores = _scores(weights, options)
        except _NO_TEXT as error:
            reason = _in_words(error)
    gates = read_gates(weights, passage, range(1, weights.model.layers + 1), _WATCHED)
    inside = _inside(weights, options, passage)
    paintings = _paintings(weights, ids[:_PAINTED], inside.neurons)
    return Overview(card, samples, letters, passage.where, gates, inside, paintings, scores, reason)


def _passage(weights: Weights, options: ReportOptions, sample: str) -> Passage:
    """What the model is watched with; for want of any text, a sample of its own."""
    try:
        return open_passage(weights, options.looked_at(), options.passage)
    except _NO_TEXT:
        if options.text is not None or options.file is not None or options.own_text is not None:
            raise
    vocabulary = weights.vocabulary
    ids = vocabulary.encode(vocabulary.symbols_of(sample))[: options.passage]
    return Passage([ids], "the first sample, for want of the model's own text", vocabulary.unit)


def _letters(vocabulary: Vocabulary, ids: np.ndarray, predictions: Predictions) -> Iterator[Letter]:
    """The characters of the passage; where one is of several bytes, what was likeliest is what was so for the first."""
    place = 0
    for character in characters(vocabulary, [(vocabulary.points[ids], predictions.nats)]):
        chances = zip(predictions.likeliest[place], predictions.probabilities[place], strict=True)
        named = [(_name_of(vocabulary, int(each)), float(chance)) for each, chance in chances]
        yield Letter(character.text, character.bits, [] if math.isnan(predictions.nats[place]) else named)
        of_bytes = vocabulary.unit == "byte" and ids[place] != vocabulary.boundary
        place += len(character.text.encode("utf-8", "surrogateescape")) if of_bytes else 1


def _inside(weights: Weights, options: ReportOptions, passage: Passage) -> Inside:
    """What happens inside, over all of the text that the passage is of."""
    if not options.inside:
        return Inside(None, None, None, [])
    looked_at = replace(options.looked_at(), shown=1, on_progress=options.on_progress)
    if options.file is not None and is_read_once(user_path(options.file)):
        text = weights.vocabulary.text_of(weights.vocabulary.decode(passage.pieces[0]))
        looked_at = replace(looked_at, text=text, file=None, encoding=None)
    reasons = list[str]()

    def look(what: str, view: Callable[[Weights, InspectOptions], T]) -> T | None:
        try:
            return view(weights, looked_at)
        except _NO_TEXT as error:
            reasons.append(f"{what}: {_in_words(error)}")
            return None

    return Inside(
        look("how long a memory lasts", open_gates), look("neurons", find_neurons), look("gradients", gradient_flow),
        reasons,
    )  # fmt: skip


def _in_words(error: CharLSTMError) -> str:
    """What is wrong, with the names of files and without their folders: a page may be published."""
    return _FOLDERS.sub("", error.message)


def _paintings(weights: Weights, ids: np.ndarray, neurons: Neurons | None) -> list[Painting]:
    """The best units over the passage: those that follow something, each once."""
    found = dict[tuple[int, int], str]()
    for each in neurons.neurons if neurons else []:
        if each.follows:
            found.setdefault((each.layer, each.unit), each.meaning)
    units = list(found.items())[:_PAINTINGS]
    return [paint(weights, ids, 0, len(ids), layer, unit, meaning) for (layer, unit), meaning in units]


def _name_of(vocabulary: Vocabulary, symbol: int) -> str:
    if symbol == vocabulary.boundary:
        return "the document's end"
    return vocabulary.text_of(vocabulary.decode(np.array([symbol])))


def _scores(weights: Weights, options: ReportOptions) -> dict[str, Score]:
    """The model's own score and those that counts have part in, of the same characters."""
    training, held_out = own_text(weights, options.own_text)[0].split(weights.config.training.validation)
    if not len(held_out):
        raise ConfigError("the run has no validation part")
    ids = held_out[: _SCORED + 1]
    on_progress = options.on_progress or (lambda what, done, total: None)
    found = Found.empty(len(ids) - 1)
    score, beside = own_scores(weights, ids, found)
    return {"this model": score} | beside | beside_counts(found, training, ids, weights.vocabulary, on_progress)
