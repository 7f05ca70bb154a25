"""How large texts are read: `uv run python tests/benchmarks/corpora.py [--megabytes 1 100 1000]`.

The first table: seconds of processor time and of the clock that a text takes, read for the first time without a
vocabulary, then known (one pass), then found again in the cache; MB/s a core; and MiB beyond those of the program
itself. One text is nearly all ASCII, the other is of several scripts. The second table: training on texts of several
sizes that were read before: seconds to the first report of a step, characters a second, and MiB that are no map of a
file. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import anonymous_memory

READ = """
import json, resource, sys, time
from pathlib import Path
from charlstm.text.corpus import open_corpus

def measured(work):
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result, after = work(), resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result, [time.perf_counter() - began, used]

def most():
    return int(Path("/proc/self/status").read_text("utf-8").split("VmHWM:")[1].split()[0]) / 1024

files, before = [Path(sys.argv[1])], most()
corpus, first = measured(lambda: open_corpus(files))
_, known = measured(lambda: open_corpus(files, vocabulary=corpus.vocabulary))
_, again = measured(lambda: open_corpus(files, vocabulary=corpus.vocabulary))
print(json.dumps([first, known, again, most() - before]))
"""
SHAPE = ["--hidden-size", "128", "--batch-size", "32", "--sequence-length", "64", "--quiet"]


def english(numbers: np.random.Generator) -> bytes:
    """A megabyte in ASCII, but for a letter here and there."""
    text = numbers.choice(np.frombuffer(b"etaoin shrdlu\n", np.uint8), 999_900).tobytes()
    return text + "é".encode() * 50


def many_scripts(numbers: np.random.Generator) -> bytes:
    """A megabyte of words in Latin, Cyrillic, Greek and Chinese, and of emoji."""
    starts = np.array([0x61, 0x430, 0x3B1, 0x4E00, 0x1F600])
    words = numbers.choice(5, 60_000, p=[0.35, 0.3, 0.1, 0.2, 0.05]).repeat(8)
    points = (starts[words] + numbers.integers(0, 24, len(words))).astype(np.uint32)
    points[::8] = 32
    text = points.tobytes().decode("utf-32-le").encode()[:1_000_000]
    return text.decode("utf-8", "ignore").encode()


def written(path: Path, make, megabytes: int) -> Path:
    """A text of so many megabytes, the first ten of them again and again."""
    numbers = np.random.default_rng(0)
    pieces = [make(numbers) for _ in range(min(megabytes, 10))]
    with path.open("wb") as file:
        for number in range(megabytes):
            file.write(pieces[number % len(pieces)])
    then = time.time() - 60  # files that have just been written are read again
    os.utime(path, (then, then))
    return path


def reading(folder: Path, megabytes: int) -> None:
    """Print the first table."""
    print(
        f"| {megabytes:,} MB | first: clock, processor | MB/s a core | known: clock, processor | MB/s a core | "
        "again | memory |\n" + "| --- " * 7 + "|"
    )
    for make in (english, many_scripts):
        text = written(folder / "text.txt", make, megabytes)
        time.sleep(2.5)
        printed = subprocess.run([sys.executable, "-c", READ, str(text)], check=True, capture_output=True).stdout
        (first, first_used), (known, known_used), (again, _), memory = json.loads(printed)
        print(
            f"| {make.__name__} | {first:.1f} s, {first_used:.1f} s | {megabytes / first_used:.0f} | {known:.1f} s, "
            f"{known_used:.1f} s | {megabytes / known_used:.0f} | {again:.2f} s | {memory:.0f} MiB |",
            flush=True,
        )


def training(folder: Path, sizes: list[int], steps: int) -> None:
    """Print the second table."""
    print("\n| text | to the first step | characters/s | memory |\n| --- | --- | --- | --- |")
    for megabytes in sizes:
        text = written(folder / "text.txt", english, megabytes)
        time.sleep(2.5)
        train = [sys.executable, "-m", "charlstm", "train", str(text), *SHAPE, "--network-alone", "--overwrite"]
        once = [*train, "--run", str(folder / "once"), "--steps", "1"]
        subprocess.run(once, check=True, stdout=subprocess.DEVNULL)  # reads the text, and compiles
        began = time.perf_counter()
        subprocess.run(once, check=True, stdout=subprocess.DEVNULL)
        start, run = time.perf_counter() - began, folder / "run"
        most = anonymous_memory(
            subprocess.Popen([*train, "--run", str(run), "--steps", str(steps)], stdout=subprocess.DEVNULL)
        )
        reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
        rate = float(np.median([report["characters_per_second"] for report in reports]))
        print(f"| {megabytes:,} MB | {start:.1f} s | {rate:,.0f} | {most:,.0f} MiB |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 100, 1000], help="the largest is read, too")
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["CHARLSTM_CACHE_DIR"] = str(Path(place, "cache"))
        reading(Path(place), max(options.megabytes))
        training(Path(place), options.megabytes, options.steps)


if __name__ == "__main__":
    main()
