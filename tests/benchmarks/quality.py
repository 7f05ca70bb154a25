"""What the minutes buy: `uv run python tests/benchmarks/quality.py TEXT [--minutes 1 5] [--seeds 3]
[--cells lstm gru rnn]`.

Trains with nothing but the time given, exactly as a user would, and prints the scores of the validation part: static,
in windows of 256, after dynamic evaluation, and without a network. Runs are kept in a temporary folder.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def charlstm(*arguments: object) -> tuple[str, str]:
    """What a command of this project prints on stdout and stderr."""
    command = [sys.executable, "-m", "charlstm", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    return done.stdout, done.stderr


def main() -> None:
    """Train, evaluate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 5.0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cells", nargs="+", default=["lstm"])
    options = parser.parse_args()
    print(
        "| minutes | seed | model | took | epochs, of announced | static | windows of 256 | dynamic | 7-gram "
        "| adaptive 7-gram |"
    )
    print("| --- " * 10 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes:
            # Cells take turns, so that what else the machine does meets all of them.
            for seed, cell in itertools.product(range(options.seeds), options.cells):
                run = Path(folder) / f"{minutes:g}-{cell}-{seed}"
                began = time.monotonic()
                budget = ("--minutes", minutes, "--seed", seed, "--cell", cell)
                _, notes = charlstm("train", options.text, *budget, "--run", run)
                took = time.monotonic() - began
                announced = re.search(r"read the text about (\S+) times", notes)
                made = json.loads((run / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["epoch"]
                epochs = f"{made:.1f} of {announced[1] if announced else '?'}"
                printed, _ = charlstm("evaluate", run, "--json", "--dynamic", "--windows", 256, "--baseline")
                score = json.loads(printed)
                model = json.loads((run / "config.json").read_text("utf-8"))["model"]
                beside = ("windows of 256", "dynamic", "7-gram", "adaptive 7-gram")
                figures = [score["loss"], *(score[name]["loss"] for name in beside)]
                shape = f"{model['layers']}x{model['hidden_size']} {cell.upper()}, dropout {model['dropout']:g}"
                cells = [
                    f"{minutes:g}",
                    str(seed),
                    shape,
                    f"{took:.0f} s",
                    epochs,
                    *(f"{figure:.4f}" for figure in figures),
                ]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
