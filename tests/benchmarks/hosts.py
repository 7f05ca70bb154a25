"""What averaging costs on a slow network: `sudo python tests/benchmarks/hosts.py [--rates 1000 100 20] [--every 1 32]`.

Processes in network namespaces of their own, as machines at one switch, each of which sends so many megabits per second
(`tc tbf`; Linux, as root) and, with `--delay`, is so many milliseconds away from the others (switch.py), train the same
model: the same batch, so each reads its part of it. They average gradients in each step or, with `--every`, parameters
after several. Prints the bytes that process 0 sends for a step, the milliseconds of a step, and what scale.py makes of
the same, all of the second half of a run; and the validation loss that a run comes to, of so many steps or, with
`--seconds`, in a time.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from scale import Network, Step, simulate
from switch import forward, plug

CODE = Path(__file__).parents[2] / "charlstm"
SWITCH = "charlstm-switch"


class Measured(NamedTuple):
    """Of a step: bytes that process 0 sends, and seconds; bytes of the gradients; how many steps, and to which loss."""

    sent: float
    seconds: float
    size: int
    steps: int
    loss: float


def ip(command: str) -> str:
    """What `ip` says."""
    return subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=True).stdout


@contextmanager
def machines(count: int, megabits: float, delay: float) -> Iterator[list[str]]:
    """Namespaces at one switch, each with a cable of this rate, through which all takes `delay` seconds."""
    names = [f"charlstm-{number}" for number in range(count)]
    taps, switch = list[int](), None
    try:
        ip(f"netns add {SWITCH}")
        ip(f"-n {SWITCH} link add bridge type bridge")
        ip(f"-n {SWITCH} link set bridge up")
        for number, name in enumerate(names):
            ip(f"netns add {name}")
            if delay:
                taps.append(plug(f"charlstm{number}"))
                ip(f"link set charlstm{number} netns {name} name cable")
            else:
                ip(f"-n {SWITCH} link add port{number} type veth peer name cable netns {name}")
                ip(f"-n {SWITCH} link set port{number} master bridge up")
            ip(f"-n {name} addr add 10.93.8.{number + 1}/24 dev cable")
            for device in ("lo", "cable"):
                ip(f"-n {name} link set {device} up")
            limit = f"tc qdisc add dev cable root tbf rate {megabits}mbit burst 64k latency 400ms"
            subprocess.run(["ip", "netns", "exec", name, *limit.split()], check=True)
        if delay:
            switch = get_context("fork").Process(target=forward, args=(taps, delay), daemon=True)
            switch.start()
        yield names
    finally:
        if switch:
            switch.kill()
        for tap in taps:
            os.close(tap)
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


def measure(
    text: Path, folder: Path, count: int, megabits: float, options: str, every: int = 1, delay: float = 0
) -> Measured:
    """Train on so many machines; bytes and time are of what comes after half of the reports."""
    run = folder / "run"
    command = [sys.executable, "-m", "charlstm", "train", str(text), "--run", str(run), *options.split(), "--overwrite"]
    command += ["--precision", "float32", "--dropout", "0", "--network-alone", "--quiet", "--sample-every", "0"]
    command += ["--average-every", str(every)] if every > 1 else []
    environment = os.environ | {"CHARLSTM_CPU_DEVICES": "1"}
    shutil.rmtree(run, ignore_errors=True)
    with machines(count, megabits, delay) as names:
        processes = []
        for number, name in enumerate(names):
            together = f"--coordinator 10.93.8.1:5001 --processes {count} --process {number}".split()
            whole = ["ip", "netns", "exec", name, *command, *(together if count > 1 else [])]
            processes.append(subprocess.Popen(whole, env=environment, stdout=subprocess.DEVNULL))
        marks = list[tuple[float, float, float]]()  # step, seconds of the run, bytes
        while processes[0].poll() is None:
            found = reports(run)
            if found and (not marks or found[-1]["step"] > marks[-1][0]):
                marks.append((found[-1]["step"], found[-1]["elapsed_seconds"], sent_by(names[0])))
            time.sleep(0.02)
        if any(process.wait() for process in processes):
            raise SystemExit("a process has failed")
    made, seconds, sent = (last - first for first, last in zip(marks[len(marks) // 2], marks[-1], strict=True))
    last = reports(run)[-1]
    with safe_open(run / "weights.safetensors", "np") as tensors:
        size = sum(tensors.get_tensor(name).nbytes for name in tensors.keys())  # noqa: SIM118 - it is no dict
    return Measured(sent / made, seconds / made, size, int(last["step"]), last["validation_loss"])


def main() -> None:
    """Print a row for each number of processes, rate and interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rates", type=float, nargs="+", default=[1000, 100, 20], help="megabits per second")
    parser.add_argument("--delay", type=float, default=0, help="milliseconds until what is sent arrives")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--every", type=int, nargs="+", default=[1], help="steps; 1: gradients in each step")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seconds", type=float, help="train for a time instead")
    parser.add_argument("--text", type=Path, help="instead of the program's own")
    arguments = parser.parse_args()
    budget = f"--minutes {arguments.seconds / 60}" if arguments.seconds else f"--steps {arguments.steps}"

    def options(streams: int) -> str:
        return f"--hidden-size {arguments.units} --batch-size {streams} --sequence-length 64 --weight-drop 0 {budget}"

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = arguments.text or folder / "text.py"
        if not arguments.text:
            text.write_bytes(b"".join(path.read_bytes() for path in sorted(CODE.rglob("*.py"))))
        whole, half = (measure(text, folder, 1, 10_000, options(streams)) for streams in (32, 16))
        each = max(0.0, (whole.seconds - half.seconds) / (16 * 64))
        step = Step(whole.seconds - 32 * 64 * each, each, whole.size)
        print(
            f"one process: {1000 * whole.seconds:.1f} ms a step, {1000 * half.seconds:.1f} of half the streams; "
            f"{whole.steps:,} steps, loss {whole.loss:.4f}; {step.size / 1000:,.0f} KB of gradients"
        )
        print("| processes | Mbit/s | averaged every | sent, KB a step | ms a step | simulated | steps | loss |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for count, rate, every in itertools.product(arguments.processes, arguments.rates, arguments.every):
            found = measure(text, folder, count, rate, options(32), every, arguments.delay / 1000)
            network = Network(rate * 1e6 / 8, max(1e-4, arguments.delay / 1000))
            expected = simulate(step, network, count, 32 * 64 / count, every, os.cpu_count())
            print(
                f"| {count} | {rate:g} | {every} | {found.sent / 1000:,.1f} | {1000 * found.seconds:.1f} "
                f"| {1000 * expected:.1f} | {found.steps:,} | {found.loss:.4f} |", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
