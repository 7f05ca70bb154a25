"""What training holds in memory: `uv run python tests/benchmarks/memory.py [--tables shapes windows texts]`.

The first table compares the peak of a train step on all devices, as XLA plans it, with what training/footprint.py
reckons with. The second one does so for windows of several lengths, read whole and in chunks of about their root, and
has the speeds of both. The third one trains on texts of several sizes through the command line: time to read a text for
the first time, characters per second after that, and the most memory that was not a map of a file. Linux only.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from speed import SHAPES
from workers import VOCABULARY, train_settings

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.runtime.mesh import make_mesh, shard_streams
from charlstm.runtime.setup import set_up_jax
from charlstm.training import footprint
from charlstm.training.machine import training_speed
from charlstm.training.steps import MAX_STEPS, initial_state, make_steps, shard_state

MIB = 2**20


def step_memory(model: ModelConfig, training: TrainingConfig) -> tuple[float, float]:
    """MiB on all devices that a step is reckoned to need, and that XLA plans."""
    mesh = make_mesh(training.streams_at_once)
    state = shard_state(mesh, initial_state(model, training))
    ids = shard_streams(mesh, np.zeros((MAX_STEPS, training.sequence_length, training.batch_size), np.uint8), 2)
    planned = make_steps(model, training, mesh).lower(state, ids, ids, np.zeros(MAX_STEPS, np.float32), 1).compile()
    plan = planned.memory_analysis()
    peak = plan.argument_size_in_bytes + plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return footprint.step_memory(model, training) / MIB, peak * mesh.size / MIB


def anonymous_memory(process: subprocess.Popen) -> float:
    """Looks ten times a second, until a process ends: the most MiB that it held and that were no map of a file."""
    most = 0.0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text("utf-8").splitlines()
        except OSError:
            break
        most = max([most, *(float(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))])
        time.sleep(0.1)
    return most


def text_memory(folder: Path, megabytes: int) -> tuple[float, float, float]:
    """Seconds to read a text of random letters for the first time, characters per second of training, MiB."""
    text, run = folder / "text.txt", folder / "run"
    letters = np.frombuffer(bytes(range(32, 32 + VOCABULARY)), np.uint8)
    numbers = np.random.default_rng(0)
    with text.open("wb") as file:
        for _ in range(megabytes):
            file.write(numbers.choice(letters, 1_000_000).tobytes())
    flags = ["--hidden-size", "128", "--batch-size", "32", "--sequence-length", "64", "--quiet"]
    train = [sys.executable, "-m", "charlstm", "train", str(text)]
    first = [*train, "--run", str(folder / "first"), "--steps", "1", *flags]
    began = time.monotonic()
    subprocess.run(first, check=True, stdout=subprocess.DEVNULL)
    reading = time.monotonic() - began
    longer = [*train, "--run", str(run), "--steps", "2000", *flags]
    most = anonymous_memory(subprocess.Popen(longer, stdout=subprocess.DEVNULL))
    reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return reading, float(np.median([report["characters_per_second"] for report in reports])), most


def shapes() -> None:
    """Print the first table."""
    print("| shape | estimated, MiB | planned, MiB | ratio |\n| --- | --- | --- | --- |")
    for shape in SHAPES:
        estimate, planned = step_memory(*train_settings(*shape, "bfloat16", "muon", shape[1]))
        print(
            f"| {'{}x{}, {}, {}'.format(*shape)} | {estimate:,.1f} | {planned:,.1f} | {estimate / planned:.2f} |",
            flush=True,
        )


def windows(lengths: list[int]) -> None:
    """Print the second table: one layer of 128 units, 16 streams, bfloat16."""
    print("| window | chunks of | estimated, MiB | planned, MiB | characters/s |\n| --- | --- | --- | --- | --- |")
    for window in lengths:
        model, training = train_settings(1, 128, 16, window, "bfloat16", "muon", 128)
        root = 2 ** math.ceil(math.log2(window) / 2)
        for chunk_length in (None, root):
            parted = replace(training, chunk_length=chunk_length)
            estimate, planned = step_memory(model, parted)
            speed = training_speed(model, parted, 1.0)
            chunks = chunk_length or "no"
            print(f"| {window:,} | {chunks} | {estimate:,.1f} | {planned:,.1f} | {speed:,.0f} |", flush=True)


def texts(sizes: list[int]) -> None:
    """Print the third table."""
    print("| text | first reading | characters/s | memory |\n| --- | --- | --- | --- |")
    for megabytes in sizes:
        with tempfile.TemporaryDirectory() as folder:
            reading, rate, most = text_memory(Path(folder), megabytes)
        print(f"| {megabytes:,} MB | {reading:.1f} s | {rate:,.0f} | {most:,.0f} MiB |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    tables = ["shapes", "windows", "texts"]
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--windows", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    set_up_jax()
    if "shapes" in options.tables:
        shapes()
    if "windows" in options.tables:
        windows(options.windows)
    if "texts" in options.tables:
        texts(options.megabytes)


if __name__ == "__main__":
    main()
