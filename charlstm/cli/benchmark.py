"""`charlstm benchmark`."""

from typing import Annotated

import typer

from charlstm.errors import ConfigError
from charlstm.options import TrainOptions

_SIZES = (128, 256, 512, 1024)


def benchmark(
    seconds: Annotated[float, typer.Option(help="About how long to measure.")] = 60.0,
) -> None:
    """Measure the speed of training and sampling on this machine, and what `train` would choose."""
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"--seconds is {seconds:g}, but must be above 0, up to 86400")
    from charlstm.runtime.setup import ready_jax

    with ready_jax():
        _measure(seconds)


def _measure(seconds: float) -> None:
    import jax

    from charlstm import benchmark
    from charlstm.display import console, tables
    from charlstm.display.bars import Bars
    from charlstm.runtime.processor import processor
    from charlstm.runtime.setup import versions
    from charlstm.training.plan import resolve

    devices = jax.local_device_count()
    console.result(f"{processor()}, {console.count(devices, 'device')}")
    console.result(", ".join(f"{name} {version}" for name, version in versions().items()))
    with Bars() as bars:
        bars("measuring")
        rows = list(benchmark.measure(_SIZES, devices, seconds))
    tables.show_speeds(rows, devices)
    for minutes in (1, 5, 60):
        plan = resolve(TrainOptions(minutes=minutes), benchmark.CHARACTERS, benchmark.VOCABULARY, devices)
        console.result(f"a megabyte and {console.count(minutes, 'minute')}: {plan.notes[-1]}")
