"""Units with a meaning: which one follows which feature of the text, by a held-out score and beyond luck.

What a unit holds is its cell state or, in a cell without one, its hidden state. From this alone a feature is predicted,
as learned from the first half of the characters, and scored in the second half: by R2 where it is a number, and by the
area under the ROC curve where it is yes or no, which is 0.5 for guessing.

Beside each score stand two that mean nothing. The best of a thousand units follows anything a little by luck: that is
what any unit gets for the same feature circularly shifted against the text, with its own rhythm but of another place,
and the best of nine shifts, which a unit that follows nothing exceeds one time in ten. (Where a text is strictly
periodic there is no other place, and nothing is beyond luck.) And a good deal is followed untrained: what a network of
random weights holds depends on the text, too, and among its units there is one that fits.

N: characters.  L: layers.  H: hidden size.  K: features.
"""

import dataclasses
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.errors import ConfigError, CorpusError, setting
from charlstm.evaluation.static import WARM_UP
from charlstm.files import atomic_write
from charlstm.inspection.features import FEATURES, Feature, compute_features
from charlstm.inspection.following import STREAMS, score_units
from charlstm.inspection.gates import layer_numbers
from charlstm.inspection.painting import Painting, liveliest, paint
from charlstm.inspection.passage import Passage, open_passage
from charlstm.model.parameters import initial_parameters
from charlstm.options import InspectOptions
from charlstm.runs.weights import Weights

_CHARACTERS = 100_000
_LEAST = 1_000  # characters that scores may rest on
_LEAST_CASES = 20  # of yes and of no, in each half
_LEAST_GAIN = 1e-3  # the same unit, scored in two programs, differs by 1e-6
_SHIFTS = 9  # places where a feature is taken from instead
_PAINTINGS, _PAINTED, _PAINTED_ALONE = 3, 400, 2_000  # units, and characters of the text


@dataclass(frozen=True)
class Neuron:
    """How well a unit follows a feature, and how well the best one does by luck and untrained.

    Layers count from 1, units from 0. `trend` is near 1 where the feature rises with what the unit holds, near
    -1 where it falls.
    """

    feature: Feature
    layer: int
    unit: int
    score: float
    luck: float
    untrained: float
    trend: float

    @property
    def gain(self) -> float:
        """How much of the way from the better of both to what is perfect: 1 is perfect, 0 and below is not learned."""
        nothing = max(self.luck, self.untrained)
        return (self.score - nothing) / max(1 - nothing, 1e-9)

    @property
    def follows(self) -> bool:
        """Whether it is more than luck, learned or not."""
        return self.score > self.luck

    @property
    def measure(self) -> str:
        """What kind of score it is."""
        return "R2" if self.feature.is_number else "AUC"

    @property
    def meaning(self) -> str:
        """What it says if the unit holds much."""
        if not self.feature.is_number:
            return f"{'high' if self.trend > 0 else 'low'} {self.feature.about}"
        way = "rises with" if self.trend > 0.5 else "falls with" if self.trend < -0.5 else "bends with"
        return f"{way} {self.feature.about}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        own = {"feature": self.feature.name, "layer": self.layer, "unit": self.unit, "measure": self.measure}
        return own | {name: getattr(self, name) for name in ("score", "luck", "untrained", "gain", "meaning")}


@dataclass(frozen=True, eq=False)
class Neurons:
    """Of each feature the unit that follows it best, the most telling first; or how well one unit follows each.

    `left_out` are the features that do not vary enough, by name, each with the reason. `scores` `[K, L, H]` are of all
    features (of those NaN) and of the `layers` that were looked at. Half of the `characters` were learned from, half
    were scored.
    """

    neurons: list[Neuron]
    left_out: dict[str, str]
    paintings: list[Painting]
    scores: np.ndarray
    layers: list[int]
    characters: int
    where: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "characters": self.characters,
            "text": self.where,
            "neurons": [each.to_dict() for each in self.neurons],
            "left_out": self.left_out,
            "paintings": [each.to_dict() for each in self.paintings],
        }

    def save(self, path: Path) -> None:
        """Save arrays, as NumPy's `load` reads them: `features`, `scores` `[K, L, H]`, `luck` `[K]` and so on.

        Raises:
            StorageError: it cannot be written.
        """
        found = {each.feature.name: each for each in self.neurons}
        arrays: dict[str, Any] = {
            "features": np.array(_NAMES),
            "measures": np.array(["R2" if feature.is_number else "AUC" for feature in FEATURES]),
            "layers": np.array(self.layers),
            "scores": self.scores,
        }
        for name in ("luck", "untrained"):
            arrays[name] = np.array([getattr(found.get(feature), name, np.nan) for feature in _NAMES])
        with atomic_write(path) as file:
            np.savez_compressed(file, **arrays)


_NAMES = [feature.name for feature in FEATURES]


def find_neurons(weights: Weights, options: InspectOptions) -> Neurons:
    """The units that follow features of a text: of some 100,000 characters of it, spread over all.

    Raises:
        ConfigError: there is no such layer or unit, or no text.
        CorpusError: the text cannot be read, or is too short to score.
        RunError: the run's own text has changed since, or the weights are not finite.
        VocabularyError: a character is unknown, and is not to be skipped.
    """
    alone = _unit_alone(weights, options)
    layers = [alone[0]] if alone else list(layer_numbers(weights, options))
    passage = open_passage(weights, options, _CHARACTERS, STREAMS, WARM_UP)
    if passage.characters < _LEAST and not alone:
        raise CorpusError(
            f"{passage.where} are too few to tell a meaning from luck",
            f"take {_LEAST:,} or more; {setting('unit', '1.0')} shows a unit on any text",
        )
    points = weights.vocabulary.points
    by_piece = [compute_features(points[piece], weights.vocabulary)[passage.warm_up :] for piece in passage.pieces]
    left_out = _left_out(np.concatenate(by_piece), weights.vocabulary.unit)
    kept = [number for number, name in enumerate(_NAMES) if name not in left_out]
    scores = np.full((len(FEATURES), len(layers), weights.model.hidden_size), np.nan)
    neurons = list[Neuron]()
    if kept:
        by_shift, untrained, trend = _score(weights, passage, np.concatenate(by_piece), kept, layers, options)
        scores[kept] = by_shift[0]
        guessing = [0.0 if FEATURES[number].is_number else 0.5 for number in kept]
        luck = np.maximum(by_shift[1:].max((0, 2, 3)), guessing)
        for number, *baselines, ways in zip(kept, luck, untrained.max((1, 2)), trend, strict=True):
            best = (0, alone[1]) if alone else np.unravel_index(scores[number].argmax(), scores[number].shape)
            layer, unit = map(int, best)
            figures = map(float, (scores[number, layer, unit], *baselines, ways[layer, unit]))
            neurons.append(Neuron(FEATURES[number], layers[layer], unit, *figures))
    neurons.sort(key=lambda neuron: -neuron.gain)
    paintings = _paint(weights, passage, by_piece, neurons, alone)
    return Neurons(neurons, left_out, paintings, scores, layers, passage.characters, passage.where)


def _unit_alone(weights: Weights, options: InspectOptions) -> tuple[int, int] | None:
    """The layer and the unit that `options` name, if they do."""
    if options.unit is None:
        return None
    model, found = weights.model, re.fullmatch(r"([0-9]{1,6})\.([0-9]{1,6})", options.unit)
    layer, unit = map(int, found.groups()) if found else (0, 0)
    if not (1 <= layer <= model.layers and unit < model.hidden_size):
        raise ConfigError(
            f"{setting('unit')} is {options.unit!r}, which is none of this model",
            f"name a layer and a unit of it, from {setting('unit', '1.0')} to {model.layers}.{model.hidden_size - 1}",
        )
    if options.layer not in (None, layer):
        raise ConfigError(
            f"{setting('unit', options.unit)} and {setting('layer', options.layer)} contradict each other",
            "give one of them",
        )
    return layer, unit


def _left_out(features: np.ndarray, unit: str) -> dict[str, str]:
    """Which features cannot be scored, each with the reason: those that hardly vary in one of the halves."""
    if len(features) < _LEAST:
        return dict.fromkeys(_NAMES, f"fewer than {_LEAST:,} {unit}s")
    reasons: dict[str, str] = {}
    for feature, values in zip(FEATURES, features.T, strict=True):
        if feature.is_number and 0 < values.max() <= 1:
            reasons[feature.name] = "never above 1"
            continue
        # What is not usual, of numbers too: brackets that never open are no better than quotes that never do.
        usual = np.bincount(values.astype(np.int64)).argmax()
        cases = [int((part != usual).sum()) for part in np.split(values, [len(values) // 2])]
        if min(cases) < _LEAST_CASES:
            reasons[feature.name] = "always the same" if not sum(cases) else f"varies at {sum(cases):,} {unit}s only"
    return reasons


def _score(
    weights: Weights,
    passage: Passage,
    features: np.ndarray,
    kept: list[int],
    layers: list[int],
    options: InspectOptions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the features that are `kept`: scores by shift, the first of which is none, scores untrained, and trends."""
    is_number = np.array([FEATURES[number].is_number for number in kept])
    shifts = [len(features) * number // (_SHIFTS + 1) for number in range(_SHIFTS + 1)]
    fresh = dataclasses.replace(weights, params=initial_parameters(weights.model.for_inference(), 0))

    def score(model: Weights, shifts: list[int], what: str) -> tuple[np.ndarray, np.ndarray]:
        on_step = partial(options.on_progress, what) if options.on_progress else None
        return score_units(model, passage, features[:, kept], is_number, layers, shifts, on_step)

    by_shift, trend = score(weights, shifts, "reading")
    return by_shift, score(fresh, [0], "reading untrained")[0][0], trend


def _paint(
    weights: Weights, passage: Passage, features: list[np.ndarray], neurons: list[Neuron], alone: tuple[int, int] | None
) -> list[Painting]:
    """The most telling units, each where its feature varies most in the second half; or one, from the start."""
    if alone:
        start, meaning = passage.warm_up, next((each.meaning for each in neurons if each.follows), "")
        return [paint(weights, passage.pieces[0], start, start + _PAINTED_ALONE, *alone, meaning)]
    best = dict[tuple[int, int], Neuron]()
    for each in neurons:
        if each.gain > _LEAST_GAIN and len(best) < _PAINTINGS:
            best.setdefault((each.layer, each.unit), each)
    paintings = list[Painting]()
    for (layer, unit), each in best.items():
        number, start = liveliest(features, FEATURES.index(each.feature), passage.characters // 2, _PAINTED)
        start += passage.warm_up
        paintings.append(paint(weights, passage.pieces[number], start, start + _PAINTED, layer, unit, each.meaning))
    return paintings
