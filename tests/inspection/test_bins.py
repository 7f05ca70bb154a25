"""What a binned value predicts, against each observation for itself."""

import numpy as np
import pytest

from charlstm.inspection.bins import BINS, Table, bin_edges, r_squared, roc_areas, trends


def tables(values: np.ndarray, targets: np.ndarray, edges: np.ndarray) -> tuple[Table, Table]:
    """Of the first half and of the second, each added in two pieces that overlap."""
    both = Table(edges, targets.shape[1]), Table(edges, targets.shape[1])
    middle = len(values) // 2
    for half, table in enumerate(both):
        for start, stop in ((0, 3 * middle // 2), (3 * middle // 2, len(values))):
            is_in = (np.arange(start, stop) >= middle) == bool(half)
            table.add(values[start:stop], targets[start:stop], is_in)
    return both


@pytest.fixture
def observed(numbers):
    """Values of three units, and targets: a number that follows the second one, and a flag that follows the third."""
    values = numbers.normal(size=(4000, 3)).astype(np.float32)
    targets = np.stack([values[:, 1] ** 2, values[:, 2] + numbers.normal(size=4000) > 1], axis=1).astype(np.float32)
    return values, targets


def test_r_squared_is_that_of_the_means_of_the_first_half(observed):
    values, targets = observed
    edges = bin_edges(values)
    assert edges.shape == (3, BINS - 1) and (np.diff(edges) >= 0).all()
    found = r_squared(*tables(values, targets, edges))
    for unit in range(3):
        bins = np.searchsorted(edges[unit].astype(np.float32), values[:, unit], side="right")
        for target in range(2):
            y, z = np.split(targets[:, target].astype(np.float64), 2)
            means = [y[bins[:2000] == b].mean() if (bins[:2000] == b).any() else y.mean() for b in range(BINS)]
            errors = ((z - np.array(means)[bins[2000:]]) ** 2).sum()
            assert found[unit, target] == pytest.approx(1 - errors / ((z - z.mean()) ** 2).sum(), abs=1e-5)
    assert found[1, 0] > 0.9 and abs(found[0, 0]) < 0.05


def test_the_roc_area_is_the_share_of_pairs_in_order(observed):
    values, targets = observed
    edges = bin_edges(values)
    found = roc_areas(tables(values, targets, edges)[1])
    for unit in range(3):
        bins = np.searchsorted(edges[unit].astype(np.float32), values[2000:, unit], side="right")
        ones, zeros = (bins[targets[2000:, 1] == flag] for flag in (1, 0))
        pairs = (ones[:, None] > zeros).mean() + (ones[:, None] == zeros).mean() / 2
        assert found[unit, 1] == pytest.approx(pairs, abs=1e-6)
    assert found[2, 1] > 0.75


def test_what_is_always_the_same_has_the_scores_of_guessing():
    values, targets = np.zeros((10, 1), np.float32), np.ones((10, 2), np.float32)
    learned, scored = tables(values, targets, bin_edges(values))
    assert r_squared(learned, scored).tolist() == [[0, 0]] and roc_areas(scored).tolist() == [[0.5, 0.5]]
    assert trends(learned).tolist() == [[0, 0]]


def test_trends_say_whether_a_target_rises_falls_or_does_both(numbers):
    values = numbers.normal(size=(4000, 1)).astype(np.float32)
    targets = np.concatenate([np.exp(values / 2), -values, values**2], axis=1)
    found = trends(tables(values, targets, bin_edges(values))[0])[0]
    assert found[0] > 0.9 and found[1] < -0.9 and abs(found[2]) < 0.1
