"""What many hosts would make of a text, simulated: `uv run python tests/benchmarks/scale.py [--characters 1e12]`.

In a step every host computes the gradient of its streams, for a time that varies from host to host and from step to
step, and all wait for the slowest. Then they average: a ring all-reduce (Patarasuk & Yuan 2009) has 2 (N - 1) rounds,
in each of which every host sends an N-th of the gradients to the next one and waits for its own,

    2 (N - 1) (bytes / N / bandwidth + latency)

Gloo sends 1.45 times as much, with 2 processes and with 4, takes 10 ms beside, and waits for 3.7 times the latency
(hosts.py, with `--delay` 25 ms, on a Xeon).

Where hosts take several steps of their own before they average (Douillard et al. 2023, "DiLoCo"), parameters take the
place of gradients, and the slowest is waited for only then. They go through process 0, as a process that is lost would
break a ring: its cable carries those of all others, in and then out,

    2 (N - 1) bytes / bandwidth + 2 latency

Nothing overlaps: the gradient of a scan over time is known at its end. hosts.py measures 2 and 4 processes, and holds
this against them.
"""

import argparse
from typing import NamedTuple

import numpy as np

STEPS = 2000  # that are simulated
SENT, WAITED, MEETING = 1.45, 3.7, 0.01  # times the bytes of a ring, times its latency, and seconds


class Step(NamedTuple):
    """A step as one host makes it: `fixed` seconds whatever it reads, `seconds` for each character, and `size` bytes of
    gradients; `variation` is the standard deviation of its time, of a log-normal one, as a share of the mean."""

    fixed: float
    seconds: float
    size: float
    variation: float = 0.1


class Network(NamedTuple):
    """Bytes a second that a host sends, and seconds until they are there."""

    bandwidth: float
    latency: float


def all_reduce(step: Step, network: Network, hosts: int) -> float:
    """Seconds until all have the mean."""
    if hosts == 1:
        return 0.0
    return MEETING + 2 * (hosts - 1) * (SENT * step.size / hosts / network.bandwidth + WAITED * network.latency)


def through_the_first(step: Step, network: Network, hosts: int) -> float:
    """Seconds until the first host has what all have moved by, and all have the mean."""
    return MEETING + 2 * ((hosts - 1) * step.size / network.bandwidth + network.latency) if hosts > 1 else 0.0


def simulate(
    step: Step, network: Network, hosts: int, characters: float, every: int = 1, cores: int | None = None
) -> float:
    """Seconds of a step in which each host reads so many `characters`, and all average `every` few.

    `cores` are those that all hosts share, where they are processes of one machine.
    """
    numbers = np.random.default_rng(0)
    mean = step.fixed + step.seconds * characters
    mean *= max(1.0, hosts / cores) if cores else 1.0
    sigma = np.sqrt(np.log1p(step.variation**2))
    times = mean * np.exp(sigma * numbers.normal(size=(STEPS, hosts)) - sigma**2 / 2)
    rounds = times[: STEPS // every * every].reshape(-1, every, hosts).sum(1)
    average = all_reduce if every == 1 else through_the_first
    return float((rounds.max(1) + average(step, network, hosts)).mean() / every)


# Of hosts that read 4,096 characters a step, 32 streams of 128. Two cores of the Xeon with AVX-512 and no bfloat16, as
# measured: 1x576 in float32 (train says 14,900 characters/s). An H100 from FlashRNN's figure for cuDNN, 16 x 1,024
# characters of 1x768 in 5.19 ms (Poeppel et al. 2024): not measured by us, and without head and optimizer.
HOSTS = {
    "two cores of a Xeon, 1x576": Step(0.02, 1 / 14_900, 4 * 1_670_145),
    "an H100, 1x768 (its source's figure)": Step(1e-3, 5.19e-3 / 16_384, 4 * 2_900_000),
}
READ = {"two cores of a Xeon, 1x576": 4096, "an H100, 1x768 (its source's figure)": 65_536}
NETWORKS = {"1 Gbit/s, 0.2 ms": Network(1.25e8, 2e-4), "100 Gbit/s, 20 us": Network(1.25e10, 2e-5)}


def main() -> None:
    """Print a table for each kind of host."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=float, default=1e12, help="of the text, read once")
    total = parser.parse_args().characters
    for name, step in HOSTS.items():
        alone = simulate(step, Network(1, 0), 1, READ[name]) / READ[name]
        print(f"\n{name}: {1 / alone:,.0f} characters/s, {total * alone / 86_400:,.0f} days alone\n")
        print("| hosts | a step reads | " + " | ".join(f"{network}; every 30 steps" for network in NETWORKS) + " |")
        print("| --- | --- |" + " --- |" * len(NETWORKS))
        for hosts in (1, 4, 16, 64, 256, 1024):
            cells = []
            for network in NETWORKS.values():
                for every in (1, 30):
                    seconds = simulate(step, network, hosts, READ[name], every) / READ[name] / hosts
                    cells.append(f"{total * seconds / 86_400:,.1f} days ({alone / seconds / hosts:.0%})")
            pairs = ["; ".join(cells[place : place + 2]) for place in range(0, len(cells), 2)]
            print(f"| {hosts} | {hosts * READ[name]:,} | {' | '.join(pairs)} |")


if __name__ == "__main__":
    main()
