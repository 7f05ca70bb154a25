"""How far each cell remembers: `charlstm inspect --memory`."""

from typing import TYPE_CHECKING

from charlstm.cli.outcome import Output, files_of
from charlstm.options import MemoryOptions

if TYPE_CHECKING:
    from charlstm.inspection.memory import Trial


def show(run: None, options: MemoryOptions, output: Output) -> None:
    """How far each cell remembers; after Ctrl-C what those remember that are trained."""
    from charlstm.display import memory
    from charlstm.display.bars import Bars
    from charlstm.display.console import write_json
    from charlstm.display.plots import save_figure
    from charlstm.studies import growing_memory

    files, found = files_of(output), list["Trial"]()
    if not output.as_json:
        memory.announce(options.minutes)
    try:
        with Bars() as bars:
            for trial in growing_memory(minutes=options.minutes, seed=options.seed, on_progress=bars):
                found.append(trial)
    finally:  # after Ctrl-C, too
        if found and not output.as_json:
            memory.show_memory(found)
    if output.as_json:
        write_json({"seed": options.seed, "cells": [trial.to_dict() for trial in found]})
    for kind, path in files.items():
        save_figure(memory.draw_memory(found), path, kind)
