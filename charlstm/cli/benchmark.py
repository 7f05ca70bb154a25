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
    from charlstm.runtime import cores, set_up_jax

    set_up_jax()
    from charlstm import benchmark, sizing
    from charlstm.display import bars, console, tables

    with bars.busy("measuring ..."):
        rows = list(benchmark.measure(_SIZES, cores(), seconds))
    tables.show_speeds(rows, cores())
    for minutes in (1, 5, 60):
        fit = sizing.fit(Wishes(minutes=minutes), benchmark.CHARACTERS, benchmark.VOCABULARY, cores())
        console.result(f"a megabyte and {minutes} minutes: {fit.notes[-1]}")
