"""What training holds in memory: `uv run python tests/benchmarks/memory.py [--megabytes 1 1000]`.

The first table compares the peak of a train step on all devices, as XLA plans it, with what training/footprint.py
reckons with. The second one trains on texts of several sizes through the command line: time to read a text for the
first time, characters per second after that, and the most memory that was not a map of a file. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from speed import SHAPES
from workers import VOCABULARY, train_settings

from charlstm.runtime.mesh import make_mesh, shard_streams
from charlstm.runtime.setup import set_up_jax
from charlstm.training import footprint
from charlstm.training.steps import MAX_STEPS, initial_state, make_steps, shard_state

MIB = 2**20


def step_memory(layers: int, hidden: int, batch: int, window: int) -> tuple[float, float]:
    """MiB on all devices that a step is reckoned to need, and that XLA plans."""
    model, training = train_settings(layers, hidden, batch, window, "bfloat16", "muon", hidden)
    mesh = make_mesh(batch)
    state = shard_state(mesh, initial_state(model, training))
    ids = shard_streams(mesh, np.zeros((MAX_STEPS, window, batch), np.uint8), 2)
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


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    set_up_jax()
    print("| shape | estimated, MiB | planned, MiB | ratio |\n| --- | --- | --- | --- |")
    for shape in SHAPES:
        estimate, planned = step_memory(*shape)
        print(
            f"| {'{}x{}, {}, {}'.format(*shape)} | {estimate:,.1f} | {planned:,.1f} | {estimate / planned:.2f} |",
            flush=True,
        )
    print("\n| text | first reading | characters/s | memory |\n| --- | --- | --- | --- |")
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            reading, rate, most = text_memory(Path(folder), megabytes)
        print(f"| {megabytes:,} MB | {reading:.1f} s | {rate:,.0f} | {most:,.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
