"""How well each unit follows features of a text, while a few parts of it are read side by side.

In each bin of what a unit holds the mean of a feature is learned from the first half of the characters, and scored in
the second half.

N: characters.  T: time steps.  B: streams.  L: layers.  H: hidden size.  K: features.  S: shifts.
"""

from collections.abc import Callable, Sequence

import numpy as np

from charlstm.errors import RunError
from charlstm.evaluation.static import WARM_UP
from charlstm.inspection.bins import Table, bin_edges, r_squared, roc_areas, trends
from charlstm.inspection.passage import Passage
from charlstm.inspection.trace import memory, trace_streams
from charlstm.runs.weights import Weights

STREAMS = 16


def score_units(
    weights: Weights,
    passage: Passage,
    features: np.ndarray,
    is_number: np.ndarray,
    layers: Sequence[int],
    shifts: Sequence[int],
    on_step: Callable[[int, int], None] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores `[S, K, L, H]` of the features `[N, K]`, each shifted by so many characters, and trends `[K, L, H]`.

    A score is R2 of a number and else the area under the ROC curve. The trends, of the first of the shifts, are near 1
    where a feature rises with what the unit holds, and near -1 where it falls.

    Raises:
        RunError: the weights are not finite.
    """
    ids, places = _streams(passage)
    N, K = features.shape
    features = np.where(is_number, (features - features.mean(0)) / features.std(0), features)  # for sums in float32
    middle = ids.shape[1] // 2
    halves = slice(0, middle), slice(middle, None)  # of the streams, and so of the text
    edges = _edges(weights, ids[:WARM_UP, halves[0]], layers)
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
        if on_step:
            on_step(done, len(ids))
    scores = np.empty((len(layers), weights.model.hidden_size, len(shifts), K))
    trend = np.empty((len(layers), weights.model.hidden_size, K))
    for number, (learned, scored) in enumerate(tables):
        side, area, fit, way = (
            each.reshape(-1, len(shifts), K)
            for each in (2 * roc_areas(learned) - 1, roc_areas(scored), r_squared(learned, scored), trends(learned))
        )
        scores[number] = np.where(is_number, fit, 0.5 + np.sign(side) * (area - 0.5))
        trend[number] = np.where(is_number, way, side)[:, 0]
    return np.transpose(scores, (2, 3, 0, 1)), np.moveaxis(trend, -1, 0)


def _streams(passage: Passage) -> tuple[np.ndarray, np.ndarray]:
    """The passage as streams to read side by side, ids `[T, B]`, and the number of each character that counts, or -1.

    A text in one piece is cut; each part begins with characters of the one before, as a warm-up.
    """
    cut = [(piece, passage.warm_up) for piece in passage.pieces]
    if len(cut) == 1:
        [whole] = passage.pieces
        size = -(-len(whole) // STREAMS)
        starts = range(0, len(whole), size)
        cut = [(whole[max(0, start - WARM_UP) : start + size], min(start, WARM_UP)) for start in starts]
    ids = np.zeros((max(len(part) for part, _ in cut), len(cut)), np.int32)
    places = np.full(ids.shape, -1)
    done = 0
    for stream, (part, warm_up) in enumerate(cut):
        ids[: len(part), stream] = part
        places[warm_up : len(part), stream] = done + np.arange(len(part) - warm_up)
        done += len(part) - warm_up
    return ids, places


def _edges(weights: Weights, ids: np.ndarray, layers: Sequence[int]) -> list[np.ndarray]:
    """Edges of bins for the units of each layer, by what they hold while `ids` are read."""
    blocks = [[memory(insides[layer - 1]) for layer in layers] for insides in trace_streams(weights, ids)]
    values = [np.concatenate(each).reshape(-1, weights.model.hidden_size) for each in zip(*blocks, strict=True)]
    if not all(np.isfinite(each).all() for each in values):
        raise RunError("the units hold nothing: the model's weights are not finite", "train it again")
    return [bin_edges(each) for each in values]
