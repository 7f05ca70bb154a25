"""`charlstm inspect --memory`."""

from typing import TYPE_CHECKING

from charlstm.errors import ConfigError, setting
from charlstm.options import InspectOptions, MemoryOptions

if TYPE_CHECKING:
    from charlstm.cli.inspect import Output
    from charlstm.inspection.memory import Trial


def show(run: str | None, options: InspectOptions, of_trials: MemoryOptions, output: "Output") -> None:
    """How far each cell remembers; after Ctrl-C what those remember that are trained."""
    from charlstm.display import console, memory, plots
    from charlstm.display.bars import Bars
    from charlstm.files import user_path
    from charlstm.language_model import growing_memory

    if run is not None:
        raise ConfigError(f"--memory trains networks of its own, but {run} is named", "leave it out")
    for name, value in (vars(options) | {"npz": output.npz}).items():
        if value != getattr(InspectOptions(), name, None):
            raise ConfigError(f"{setting(name, value)} is not for --memory", "leave it out")
    pictures = {kind: path for kind, path in (("png", output.png), ("svg", output.svg)) if path}
    if pictures:
        plots.new_figure()  # or it is said at once that they cannot be drawn
    found = list["Trial"]()
    if not output.as_json:
        memory.announce(of_trials.minutes)
    try:
        with Bars() as bars:
            for trial in growing_memory(minutes=of_trials.minutes, seed=of_trials.seed, on_progress=bars):
                found.append(trial)
    finally:  # after Ctrl-C, too
        if found and not output.as_json:
            memory.show_memory(found)
    if output.as_json:
        console.write_json({"seed": of_trials.seed, "cells": [trial.to_dict() for trial in found]})
    for kind, path in pictures.items():
        memory.draw_memory(found, user_path(path), kind)
