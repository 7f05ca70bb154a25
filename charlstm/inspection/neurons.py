"""Units with a meaning: which one follows which feature of the text, by a held-out score and beyond luck.

What a unit holds is its cell state or, in a cell without one, its hidden state. From this alone a feature is predicted,
as learned from the first half of the characters, and scored in the second half: by R2 where it is a number, and by the
area under the ROC curve where it is yes or no, which is 0.5 for guessing.

The best of a thousand units follows anything a little. So beside each score stands the best one by luck: what any unit
gets for the same feature circularly shifted against the text, with its own rhythm, but of another place: the best of
nine shifts, which a unit that follows nothing exceeds one time in ten. Where a text is strictly periodic, there is no
other place, and nothing is beyond luck.

N: characters.  T: time steps.  B: streams.  L: layers.  H: hidden size.  K: features.  C: features and their shifts.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.errors import ConfigError, CorpusError, RunError, setting
from charlstm.files import atomic_write
from charlstm.inspection.bins import Table, bin_edges, r_squared, roc_areas, trends
from charlstm.inspection.features import FEATURES, Feature, compute_features
from charlstm.inspection.gates import layer_numbers
from charlstm.inspection.painting import Painting, liveliest, paint
from charlstm.inspection.passage import Passage, open_passage
from charlstm.inspection.trace import memory, trace_streams
from charlstm.options import InspectOptions
from charlstm.runs.weights import Weights

_CHARACTERS, _STREAMS = 100_000, 16
_WARM_UP = 512  # characters, as where a text is scored in parts (evaluation/static.py)
_LEAST = 1_000  # characters that scores may rest on
_LEAST_CASES = 20  # of yes and of no, in each half
_SHIFTS = 9  # places where a feature is taken from instead
_PAINTINGS, _PAINTED, _PAINTED_ALONE = 3, 400, 2_000  # units, and characters of the text


@dataclass(frozen=True)
class Neuron:
    """How well a unit follows a feature, and what the best unit gets by luck; layers count from 1, units from 0.

    `trend` is near 1 where the feature rises with what the unit holds, near -1 where it falls.
    """

    feature: Feature
    layer: int
    unit: int
    score: float
    luck: float
    trend: float

    @property
    def gain(self) -> float:
        """How much of the way from luck to what is perfect: 1 is perfect, 0 and below is luck."""
        return (self.score - self.luck) / max(1 - self.luck, 1e-9)

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
            "neurons": [
                {"feature": each.feature.name, "layer": each.layer, "unit": each.unit, "measure": each.measure}
                | {"score": each.score, "luck": each.luck, "gain": each.gain, "meaning": each.meaning}
                for each in self.neurons
            ],
            "left_out": self.left_out,
            "paintings": [each.to_dict() for each in self.paintings],
        }

    def save(self, path: Path) -> None:
        """Save arrays, as NumPy's `load` reads them: `features`, `layers`, `scores` `[K, L, H]`, `luck` `[K]`.

        Raises:
            StorageError: it cannot be written.
        """
        luck = {each.feature.name: each.luck for each in self.neurons}
        arrays: dict[str, Any] = {
            "features": np.array(_NAMES),
            "measures": np.array(["R2" if feature.is_number else "AUC" for feature in FEATURES]),
            "layers": np.array(self.layers),
            "scores": self.scores,
            "luck": np.array([luck.get(name, np.nan) for name in _NAMES]),
        }
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
    passage = open_passage(weights, options, _CHARACTERS, _STREAMS, _WARM_UP)
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
        targets = np.concatenate(by_piece)[:, kept]
        scores[kept], luck, trend = _score(weights, passage, targets, [FEATURES[n] for n in kept], layers, options)
        for number, by_luck, ways in zip(kept, luck, trend, strict=True):
            best = (0, alone[1]) if alone else np.unravel_index(scores[number].argmax(), scores[number].shape)
            layer, unit = map(int, best)
            found = float(scores[number, layer, unit]), float(by_luck), float(ways[layer, unit])
            neurons.append(Neuron(FEATURES[number], layers[layer], unit, *found))
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
    kinds: list[Feature],
    layers: list[int],
    options: InspectOptions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores `[K, L, H]` of the features `[N, K]`, the best ones by luck `[K]`, and trends `[K, L, H]`."""
    ids, places = _streams(passage)
    N, K = features.shape
    is_number = np.array([kind.is_number for kind in kinds])
    features = np.where(is_number, (features - features.mean(0)) / features.std(0), features)  # for sums in float32
    shifts = [N * number // (_SHIFTS + 1) for number in range(_SHIFTS + 1)]  # the first is none
    middle = ids.shape[1] // 2
    halves = slice(0, middle), slice(middle, None)  # of the streams, and so of the text
    edges = _edges(weights, ids[:_WARM_UP, halves[0]], layers)
    tables = [(Table(each, K * len(shifts)), Table(each, K * len(shifts))) for each in edges]
    done = 0
    for insides in trace_streams(weights, ids):
        at = places[done : done + len(insides[0].hidden)]
        done += len(at)
        targets = np.concatenate([features[(at + shift) % N] for shift in shifts], axis=2)
        for layer, both in zip(layers, tables, strict=True):
            values = memory(insides[layer - 1])
            for table, part in zip(both, halves, strict=True):
                columns, is_in = targets[:, part].reshape(-1, targets.shape[2]), at[:, part].reshape(-1) >= 0
                table.add(values[:, part].reshape(len(columns), -1), columns, is_in)
        if options.on_progress:
            options.on_progress("reading", done, len(ids))
    scores = np.empty((len(layers), weights.model.hidden_size, len(shifts), K))
    trend = np.empty((len(layers), weights.model.hidden_size, K))
    for number, (learned, scored) in enumerate(tables):
        side, area, fit, way = (
            each.reshape(-1, len(shifts), K)
            for each in (2 * roc_areas(learned) - 1, roc_areas(scored), r_squared(learned, scored), trends(learned))
        )
        scores[number] = np.where(is_number, fit, 0.5 + np.sign(side) * (area - 0.5))
        trend[number] = np.where(is_number, way, side)[:, 0]
    luck = np.maximum(scores[:, :, 1:].max((0, 1, 2)), np.where(is_number, 0.0, 0.5))  # what guessing gets
    return np.moveaxis(scores[:, :, 0], -1, 0), luck, np.moveaxis(trend, -1, 0)


def _streams(passage: Passage) -> tuple[np.ndarray, np.ndarray]:
    """The passage as streams to read side by side, ids `[T, B]`, and the number of each character that counts, or -1.

    A text in one piece is cut; each part begins with characters of the one before, as a warm-up.
    """
    cut = [(piece, passage.warm_up) for piece in passage.pieces]
    if len(cut) == 1:
        [whole] = passage.pieces
        size = -(-len(whole) // _STREAMS)
        starts = range(0, len(whole), size)
        cut = [(whole[max(0, start - _WARM_UP) : start + size], min(start, _WARM_UP)) for start in starts]
    ids = np.zeros((max(len(part) for part, _ in cut), len(cut)), np.int32)
    places = np.full(ids.shape, -1)
    done = 0
    for stream, (part, warm_up) in enumerate(cut):
        ids[: len(part), stream] = part
        places[warm_up : len(part), stream] = done + np.arange(len(part) - warm_up)
        done += len(part) - warm_up
    return ids, places


def _edges(weights: Weights, ids: np.ndarray, layers: list[int]) -> list[np.ndarray]:
    """Edges of bins for the units of each layer, by what they hold while `ids` are read."""
    blocks = [[memory(insides[layer - 1]) for layer in layers] for insides in trace_streams(weights, ids)]
    values = [np.concatenate(each).reshape(-1, weights.model.hidden_size) for each in zip(*blocks, strict=True)]
    if not all(np.isfinite(each).all() for each in values):
        raise RunError("the units hold nothing: the model's weights are not finite", "train it again")
    return [bin_edges(each) for each in values]


def _paint(
    weights: Weights, passage: Passage, features: list[np.ndarray], neurons: list[Neuron], alone: tuple[int, int] | None
) -> list[Painting]:
    """The most telling units, each where its feature varies most in the second half; or one, from the start."""
    if alone:
        start, meaning = passage.warm_up, next((each.meaning for each in neurons if each.gain > 0), "")
        return [paint(weights, passage.pieces[0], start, start + _PAINTED_ALONE, *alone, meaning)]
    best = dict[tuple[int, int], Neuron]()
    for each in neurons:
        if each.gain > 0 and len(best) < _PAINTINGS:
            best.setdefault((each.layer, each.unit), each)
    paintings = list[Painting]()
    for (layer, unit), each in best.items():
        number, start = liveliest(features, FEATURES.index(each.feature), passage.characters // 2, _PAINTED)
        start += passage.warm_up
        paintings.append(paint(weights, passage.pieces[number], start, start + _PAINTED, layer, unit, each.meaning))
    return paintings
