"""The constants of Muon's rounds: `uv run python tests/benchmarks/muon_rounds.py [--rounds 3] [--lowest 0.01]`.

Each round x <- a x + b x^3 + c x^5 shall bring the singular values on its range [low, high] as close to 1 as can be: of
all (a, b, c) those with the least largest distance t, which a linear programme finds on a grid. The next round's range
is then [1 - t, 1 + t]. (After Amsel et al. 2025, "The Polar Express".)
"""

import argparse

import numpy as np
from scipy.optimize import linprog

_GRID = 4000


def best_round(low: float, high: float) -> tuple[np.ndarray, float]:
    """(a, b, c) and t: minimise t under |a x + b x^3 + c x^5 - 1| <= t for all x of the grid."""
    x = np.geomspace(low, high, _GRID)[:, None]
    powers, ones = x ** np.array([1, 3, 5]), np.ones_like(x)
    above, below = np.hstack([powers, -ones]), np.hstack([-powers, -ones])
    found = linprog(
        [0, 0, 0, 1],
        np.vstack([above, below]),
        np.concatenate([ones, -ones])[:, 0],
        bounds=[(None, None)] * 3 + [(0, None)],
    )
    return found.x[:3], found.x[3]


def main() -> None:
    """Print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lowest", type=float, default=0.01, help="singular value, beside the Frobenius norm")
    options = parser.parse_args()
    low, high = options.lowest, 1.0
    for _ in range(options.rounds):
        constants, t = best_round(low, high)
        low, high = 1 - t, 1 + t
        print(", ".join(f"{each:.4f}" for each in constants), f"-> [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
