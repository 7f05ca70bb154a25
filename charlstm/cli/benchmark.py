"""`charlstm benchmark`: how fast this machine is, and what `train` would make of it."""

from typing import Annotated

import typer

from charlstm.config import Wishes
from charlstm.errors import ConfigError

_SIZES = (128, 256, 512, 1024)


def benchmark(
    seconds: Annotated[float, typer.Option(help="About how long to measure.")] = 60.0,
) -> None:
    """Measure the speed of training and drawing on this machine, and tell what `train` would choose."""
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"--seconds is {seconds:g}, but must be above 0, up to 86400")
    from charlstm.runtime.setup import processor, set_up_jax, versions

    set_up_jax()
    import jax

    from charlstm import benchmark
    from charlstm.display import bars, console, tables
    from charlstm.training import plan

    devices = jax.local_device_count()
    console.result(f"{processor()}, {console.count(devices, 'device')}")
    console.result(", ".join(f"{name} {version}" for name, version in versions().items()))
    with bars.busy("measuring ..."):
        rows = list(benchmark.measure(_SIZES, devices, seconds))
    tables.show_speeds(rows, devices)
    for minutes in (1, 5, 60):
        fit = plan.fit(Wishes(minutes=minutes), benchmark.CHARACTERS, benchmark.VOCABULARY, devices)
        console.result(f"a megabyte and {console.count(minutes, 'minute')}: {fit.notes[-1]}")
