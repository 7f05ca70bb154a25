"""Speed beside the peers: `uv run --group bench python tests/benchmarks/speed.py`.

Every round runs each worker once, one after the other, so that what a shared machine does in the meantime meets all
of them; the table has the medians over the rounds and their ratios. JSON is written beside it with `--json FILE`.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from charlstm.runtime.processor import processor
from charlstm.runtime.setup import versions

WORKERS = Path(__file__).with_name("workers.py")
SHAPES = [(2, 128, 50, 50), (1, 512, 64, 64), (2, 512, 64, 128), (3, 1024, 64, 128)]


class Bench:
    """Collects figures: name -> one figure a round."""

    def __init__(self, seconds: float, rounds: int, torch_python: str) -> None:
        self.seconds, self.rounds, self.torch_python = seconds, rounds, torch_python
        self.figures: dict[str, list[float]] = {}

    def measure(self, *workers: tuple[object, ...]) -> list[float]:
        """The medians of some workers that take turns."""
        for _ in range(self.rounds):
            for name, *arguments in workers:
                python = self.torch_python if str(name).startswith("torch") else sys.executable
                command = [python, str(WORKERS), str(name), str(self.seconds), *map(str, arguments)]
                printed = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
                key = " ".join(map(str, (name, *arguments)))
                self.figures.setdefault(key, []).append(json.loads(printed.splitlines()[-1]))
        return [statistics.median(self.figures[" ".join(map(str, worker))]) for worker in workers]


def optimizers(bench: Bench) -> None:
    """How much of the speed of AdamW's steps those with Muon have, at the default of a small text."""
    shape = 1, 384, 16, 64
    adamw, muon = bench.measure(*(("charlstm_train", *shape, "bfloat16", name, 128) for name in ("adamw", "muon")))
    print(f"\n{shape}: AdamW {adamw:,.0f}, Muon {muon:,.0f} characters/s, ratio {muon / adamw:.2f}")


def weights(layers: int, hidden: int) -> int:
    """Weights that each character is multiplied with, the head included; the first layer looks its inputs up."""
    return layers * 4 * hidden**2 + (layers - 1) * 4 * hidden**2 + hidden * 65


def training(bench: Bench, shapes: list[tuple[int, ...]]) -> None:
    """The table of train steps."""
    (peak32,) = bench.measure(("gemm_peak", "float32"))
    (peak16,) = bench.measure(("gemm_peak", "bfloat16"))
    print(f"GEMM peak: {peak32 / 1e9:,.0f} GFLOP/s float32, {peak16 / 1e9:,.0f} bfloat16\n")
    print("| shape | f32 | torch f32 | ratio | of peak | bf16 | torch bf16 | ratio | Flax | best / Flax | Muon |")
    print("| --- " * 11 + "|")
    for shape in shapes:
        f32, t32, b16, tb16, flax, muon = bench.measure(
            ("charlstm_train", *shape, "float32", "adamw", shape[1]),
            ("torch_train", *shape, "float32"),
            ("charlstm_train", *shape, "bfloat16", "adamw", shape[1]),
            ("torch_train", *shape, "bfloat16"),
            ("flax_train", *shape),
            ("charlstm_train", *shape, "bfloat16", "muon", 128),
        )
        share = f32 * 6 * weights(*shape[:2]) / peak32
        name = "{}x{}, {}, {}".format(*shape)
        print(
            f"| {name} | {f32:,.0f} | {t32:,.0f} | {f32 / t32:.2f} | {share:.0%} | {b16:,.0f} | {tb16:,.0f} | "
            f"{b16 / tb16:.2f} | {flax:,.0f} | {max(f32, b16) / flax:.2f} | {muon:,.0f} |",
            flush=True,
        )


def sampling(bench: Bench) -> None:
    """The table of sampling."""
    print("\n| sampling | one stream | torch LSTMCell | ratio | 64 streams | 64 / one |")
    print("| --- " * 6 + "|")
    for shape in ((2, 128), (2, 512)):
        one, torch, *many = bench.measure(
            ("charlstm_sample", *shape, 1, "float32"),
            ("torch_sample", *shape),
            *(("charlstm_sample", *shape, 64, precision) for precision in ("float32", "bfloat16")),
        )
        best = max(many)  # as `train --precision auto` would
        row = [f"{one:,.0f}", f"{torch:,.0f}", f"{one / torch:.1f}", f"{best:,.0f}", f"{best / one:.1f}"]
        print(f"| {shape[0]}x{shape[1]} | {' | '.join(row)} |", flush=True)


def time_steps(bench: Bench) -> None:
    """The table of what a time step costs in long windows, beside short ones."""
    print("\n| a time step, us | T 32 | T 512 | ratio |\n| --- | --- | --- | --- |")
    for shape in ((25, 128), (8, 384), (32, 512)):
        for precision in ("float32", "bfloat16"):
            short, long = (
                1e6 / rate for rate in bench.measure(*(("time_step", T, *shape, precision) for T in (32, 512)))
            )
            print(f"| {'B {}, {} units'.format(*shape)}, {precision} | {short:.0f} | {long:.0f} | {long / short:.2f} |")


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="only the first so many")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench = Bench(options.seconds, options.rounds, options.torch_python)
    print(f"{processor()}; " + ", ".join(f"{name} {version}" for name, version in versions().items()) + "\n")
    sampling(bench)
    time_steps(bench)
    print()
    training(bench, SHAPES[: options.shapes])
    optimizers(bench)
    if options.json:
        options.json.write_text(json.dumps(bench.figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
