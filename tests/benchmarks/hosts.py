"""What averaging in each step costs on a slow network: `sudo python tests/benchmarks/hosts.py [--rates 1000 100 20]`.

Processes in network namespaces of their own, as machines at one switch, each of which sends so many megabits per second
(`tc tbf`; Linux, as root), train the same model: the same batch, so each reads its part of it. Prints the bytes that
process 0 sends for a step, the milliseconds of a step, and what scale.py makes of the same. Both are of the second half
of a run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from scale import Network, Step, simulate

CODE = Path(__file__).parents[2] / "charlstm"
SWITCH = "charlstm-switch"


class Measured(NamedTuple):
    """Of a step: bytes that process 0 sends, and seconds; and bytes of the gradients."""

    sent: float
    seconds: float
    size: int


def ip(command: str) -> str:
    """What `ip` says."""
    return subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=True).stdout


@contextmanager
def machines(count: int, megabits: float) -> Iterator[list[str]]:
    """Namespaces at one switch, each with a cable of this rate."""
    names = [f"charlstm-{number}" for number in range(count)]
    try:
        ip(f"netns add {SWITCH}")
        ip(f"-n {SWITCH} link add bridge type bridge")
        ip(f"-n {SWITCH} link set bridge up")
        for number, name in enumerate(names):
            ip(f"netns add {name}")
            ip(f"-n {SWITCH} link add port{number} type veth peer name cable netns {name}")
            ip(f"-n {SWITCH} link set port{number} master bridge up")
            ip(f"-n {name} addr add 10.93.8.{number + 1}/24 dev cable")
            for device in ("lo", "cable"):
                ip(f"-n {name} link set {device} up")
            limit = f"tc qdisc add dev cable root tbf rate {megabits}mbit burst 64k latency 400ms"
            subprocess.run(["ip", "netns", "exec", name, *limit.split()], check=True)
        yield names
    finally:
        for name in [*names, SWITCH]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def sent_by(name: str) -> int:
    """Bytes that a machine has sent so far."""
    (link,) = json.loads(ip(f"-n {name} -s -j link show cable"))
    return link["stats64"]["tx"]["bytes"]


def reports(run: Path) -> list[dict[str, float]]:
    """Those that are written so far."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text("utf-8").splitlines(keepends=True) if metrics.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def measure(folder: Path, count: int, megabits: float, shape: str, steps: int) -> Measured:
    """Train on so many machines."""
    text = folder / "text.py"
    text.write_bytes(b"".join(path.read_bytes() for path in sorted(CODE.rglob("*.py"))))
    run = folder / "run"
    command = [sys.executable, "-m", "charlstm", "train", str(text), "--run", str(run), *shape.split(), "--overwrite"]
    command += f"--steps {steps} --precision float32 --validation 0 --network-alone --quiet --sample-every 0".split()
    environment = os.environ | {"CHARLSTM_CPU_DEVICES": "1"}
    shutil.rmtree(run, ignore_errors=True)
    with machines(count, megabits) as names:
        processes = []
        for number, name in enumerate(names):
            together = f"--coordinator 10.93.8.1:5001 --processes {count} --process {number}".split()
            whole = ["ip", "netns", "exec", name, *command, *(together if count > 1 else [])]
            processes.append(subprocess.Popen(whole, env=environment, stdout=subprocess.DEVNULL))
        marks = list[tuple[float, float, float]]()  # step, seconds of the run, bytes
        while processes[0].poll() is None:
            found = reports(run)
            if found and found[-1]["step"] >= steps // 2 and (not marks or found[-1]["step"] > marks[-1][0]):
                marks.append((found[-1]["step"], found[-1]["elapsed_seconds"], sent_by(names[0])))
            time.sleep(0.02)
        if any(process.wait() for process in processes):
            raise SystemExit("a process has failed")
    made, seconds, sent = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    with safe_open(run / "weights.safetensors", "np") as tensors:
        size = sum(tensors.get_tensor(name).nbytes for name in tensors.keys())  # noqa: SIM118 - it is no dict
    return Measured(sent / made, seconds / made, size)


def main() -> None:
    """Print a row for each number of processes and rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rates", type=float, nargs="+", default=[1000, 100, 20], help="megabits per second")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()

    def shape(streams: int) -> str:
        return f"--hidden-size {arguments.units} --batch-size {streams} --sequence-length 64"

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, half = (measure(folder, 1, 10_000, shape(streams), arguments.steps) for streams in (32, 16))
        each = max(0.0, (whole.seconds - half.seconds) / (16 * 64))
        step = Step(whole.seconds - 32 * 64 * each, each, whole.size)
        print(f"one process: {1000 * whole.seconds:.1f} ms a step, {1000 * half.seconds:.1f} of half the streams")
        print("| processes | Mbit/s | sent, KB a step | of a ring | ms a step | simulated |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        for count in arguments.processes:
            for rate in arguments.rates:
                found = measure(folder, count, rate, shape(32), arguments.steps)
                network = Network(rate * 1e6 / 8, 1e-4)
                expected = simulate(step, network, count, 32 * 64 / count, cores=os.cpu_count())
                of_ring = 2 * (count - 1) / count * step.size
                print(
                    f"| {count} | {rate:g} | {found.sent / 1000:,.0f} | {of_ring / 1000:,.0f} "
                    f"| {1000 * found.seconds:.1f} | {1000 * expected:.1f} |", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
