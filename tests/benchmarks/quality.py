"""What the minutes buy: `uv run python tests/benchmarks/quality.py [TEXT...] [--minutes 1 5] [--seeds 3]`.

Trains with nothing but the time given, exactly as a user would, and prints the scores of the validation part: static,
in windows of 256, after dynamic evaluation, and all that `evaluate` knows beside them. A TEXT is one of the table
below, any other that `train` takes, or a finished run, which is only scored; without one it is the whole table. Files
of the table are looked for in --folder, and named corpora where they always are. Runs are kept in --runs, or else in a
temporary folder.

`--json F` adds a line for each run to F, its learning curve with it; `--plot P.svg --json F` draws loss against minutes
of the runs in F, which should be of tiny Shakespeare, as other programs stand beside them.
"""

import argparse
import dataclasses
import itertools
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minutes import draw

from charlstm.runs.folder import Run, is_run, open_run
from charlstm.runtime.processor import processor
from charlstm.text.catalogue import is_named

# What stands in RESULTS: text -> minutes -> seeds. No minutes are those that `train` takes by itself.
TABLE: dict[str, dict[float | None, int]] = {
    "tiny-shakespeare.txt": {1: 3, 5: 3, 20: 1, 60: 1},
    "salt-road": {None: 1},  # the bundled text
    "surnames.txt": {5: 1},  # 88,799 of the census of the USA of 1990, a line each, shuffled
    "chinese.txt": {5: 1},  # reviews, shuffled: 1.3 million characters, 4,616 distinct
    "python-5mb.txt": {5: 1},  # Python's standard library, the first 5 MB ...
    "python-80mb.txt": {5: 1},  # ... and with it what packages have, 80 MB
    "folk-tunes.abc": {5: 1},  # 1,000 tunes in ABC notation
}
LEFT_OUT = {"uniform", "unigram"}  # of what stands beside a score


@dataclasses.dataclass(frozen=True)
class Result:
    """A run and its scores, in nats per character; `curve` is minutes and validation loss."""

    text: str
    minutes: float | None
    seed: int
    model: str
    seconds: float
    characters: int
    epochs: str
    losses: dict[str, float]
    curve: list[tuple[float, float]]
    processor: str = dataclasses.field(default_factory=processor)
    python: str = dataclasses.field(default_factory=platform.python_version)

    def row(self) -> str:
        """A row of the table."""
        minutes = "default" if self.minutes is None else f"{self.minutes:g}"
        what = [self.text, minutes, str(self.seed), self.model, f"{self.seconds:.0f} s", f"{self.characters / 1e6:.2f}"]
        return f"| {' | '.join([*what, self.epochs, *(f'{loss:.4f}' for loss in self.losses.values())])} |"

    def headings(self) -> str:
        """The row above it."""
        what = ["text", "minutes", "seed", "model", "took", "million characters read", "epochs, of announced"]
        return f"| {' | '.join([*what, *self.losses])} |\n{'| --- ' * (len(what) + len(self.losses))}|"


def charlstm(*arguments: object) -> tuple[str, str]:
    """What a command of this project prints on stdout and stderr."""
    command = [sys.executable, "-m", "charlstm", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout, done.stderr


def score(run: Run, text: str, notes: str = "") -> Result:
    """Score a finished run; `notes` is what its training said."""
    reports, model, training = run.metrics.read(), run.config.model, run.config.training
    announced = re.search(r"read the text about (\S+) times", notes)
    scores = json.loads(charlstm("evaluate", run.path, "--json", "--dynamic", "--windows", 256, "--baseline")[0])
    beside = {name: each for name, each in scores.items() if isinstance(each, dict) and name not in LEFT_OUT}
    shape = [f"{model.layers}x{model.hidden_size} {model.cell.upper()}"]
    rates = {"dropout": model.dropout, "weight drop": model.weight_drop}
    return Result(
        text=text,
        minutes=training.minutes,
        seed=training.seed,
        model=", ".join(shape + [f"{name} {rate:g}" for name, rate in rates.items() if rate]),
        seconds=reports[-1]["elapsed_seconds"],
        characters=reports[-1]["characters"],
        epochs=f"{reports[-1]['epoch']:.1f}" + (f" of {announced[1]}" if announced else ""),
        losses={"static": scores["loss"]} | {name: each["loss"] for name, each in beside.items() if "loss" in each},
        curve=[(each["elapsed_seconds"] / 60, each["validation_loss"]) for each in reports if each["validation_loss"]],
    )


def results(options: argparse.Namespace, runs: Path) -> Iterator[Result]:
    """Train and score everything that is asked for."""
    for text in options.texts or TABLE:
        if is_run(Path(text)):
            run = open_run(Path(text))
            yield score(run, Path(run.config.corpus.sources[0]).name)
            continue
        budgets = dict.fromkeys(options.minutes or [], 1) or TABLE.get(text, {1.0: 1, 5.0: 1})
        for minutes, seeds in budgets.items():
            # Cells take turns, so that what else the machine does meets all of them.
            for seed, cell in itertools.product(range(options.seeds or seeds), options.cells):
                path = runs / f"{Path(text).stem}-{minutes or 'default'}-{cell}-{seed}"
                asked = ["--seed", seed, "--cell", cell, *([] if minutes is None else ["--minutes", minutes])]
                _, notes = charlstm("train", find(text, options.folder), *asked, "--run", path)
                yield score(open_run(path), text, notes)


def find(text: str, folder: Path) -> str:
    """A text of the table in `folder`, a named corpus, or what it is called."""
    if text in TABLE and (folder / text).exists():
        return str(folder / text)
    return Path(text).stem if text in TABLE and is_named(Path(text).stem) else text


def main() -> None:
    """Train, evaluate and print a table; draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--minutes", type=float, nargs="+")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--cells", nargs="+", default=["lstm"])
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.plot:
        if not options.json:
            parser.error("--plot draws what stands in the file of --json, which is not given")
        lines = options.json.read_text("utf-8").splitlines()
        options.plot.write_text(draw([json.loads(line) for line in lines]), "utf-8")
        return
    print(f"{processor()}, Python {platform.python_version()}; nats per character\n")
    with tempfile.TemporaryDirectory() as folder:
        for number, result in enumerate(results(options, options.runs or Path(folder))):
            if not number:
                print(result.headings())
            print(result.row(), flush=True)
            if options.json:
                with options.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dataclasses.asdict(result)) + "\n")


if __name__ == "__main__":
    main()
