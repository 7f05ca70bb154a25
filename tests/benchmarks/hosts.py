"""What averaging in each step costs on a slow network: `sudo python tests/benchmarks/hosts.py [--rates 1000 100 10]`.

Two processes in network namespaces of their own, as two machines, with so many megabits per second between them
(`tc tbf`; Linux, as root), train the same model; prints the bytes that each step sends, and characters per second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAMES = ("charlstm-0", "charlstm-1")
_CODE = Path(__file__).parents[2] / "charlstm"


def ip(command: str) -> str:
    """What `ip` says."""
    return subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=True).stdout


@contextmanager
def machines(megabits: float) -> Iterator[None]:
    """Two namespaces with a cable of this rate between them."""
    try:
        for name in _NAMES:
            ip(f"netns add {name}")
        ip(f"link add host0 netns {_NAMES[0]} type veth peer name host1 netns {_NAMES[1]}")
        for number, name in enumerate(_NAMES):
            ip(f"-n {name} addr add 10.93.8.{number + 1}/24 dev host{number}")
            for device in ("lo", f"host{number}"):
                ip(f"-n {name} link set {device} up")
            limit = f"tc qdisc add dev host{number} root tbf rate {megabits}mbit burst 64k latency 400ms"
            subprocess.run(["ip", "netns", "exec", name, *limit.split()], check=True)
        yield
    finally:
        for name in _NAMES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def sent(number: int) -> int:
    """Bytes that a machine has sent so far."""
    (link,) = json.loads(ip(f"-n {_NAMES[number]} -s -j link show host{number}"))
    return link["stats64"]["tx"]["bytes"]


def measure(folder: Path, megabits: float, units: int, steps: int) -> tuple[float, float]:
    """Bytes that process 0 sends for each step, and characters per second of the second half of a run."""
    text = folder / "text.py"
    text.write_bytes(b"".join(path.read_bytes() for path in sorted(_CODE.rglob("*.py"))))
    run = folder / f"run-{megabits:g}"
    with machines(megabits):
        shape = f"--hidden-size {units} --batch-size 32 --sequence-length 64 --precision float32 --validation 0"
        command = [sys.executable, "-m", "charlstm", "train", str(text), "--run", str(run), *shape.split()]
        command += [*f"--steps {steps} --network-alone --quiet --sample-every 0 --coordinator 10.93.8.1:5001".split()]
        environment = os.environ | {"CHARLSTM_CPU_DEVICES": "1"}
        processes = [
            subprocess.Popen(
                ["ip", "netns", "exec", name, *command, "--processes", "2", "--process", str(number)], env=environment
            )
            for number, name in enumerate(_NAMES)
        ]
        if any(process.wait() for process in processes):
            raise SystemExit("a process has failed")
        each = sent(0) / steps
    reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    speeds = [report["characters_per_second"] for report in reports[len(reports) // 2 :]]
    return each, len(speeds) / sum(1 / speed for speed in speeds)


def main() -> None:
    """Print a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[1000, 100, 10], help="megabits per second")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for rate in arguments.rates:
            each, speed = measure(Path(folder), rate, arguments.units, arguments.steps)
            print(f"{rate:g} Mbit/s: {each:,.0f} bytes a step, {speed:,.0f} characters/s", flush=True)


if __name__ == "__main__":
    main()
