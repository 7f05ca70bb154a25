"""The command that repeats a run exactly: every setting as a flag, for what was left open was measured."""

import dataclasses
from pathlib import Path
from typing import Any

from charlstm.config import RunConfig
from charlstm.display.console import command
from charlstm.options import BUNDLED, TrainOptions, format_schedule
from charlstm.schema import options_in

_LENGTH = ("minutes", "epochs", "steps", "schedule")
_NOT_REPEATED = ("run", "resume", "overwrite", "sample_every", *_LENGTH)


def repeat_command(config: RunConfig, schedule: list[list[int]]) -> str:
    """`charlstm train TEXT --hidden-size 384 ...`; `schedule` is what the run's last event says. Empty if that is.

    And empty for local steps: how many processes made them to the end, no setting says.
    """
    if not schedule or config.training.average_every:
        return ""
    settings: dict[str, Any] = {
        "init_from": config.init_from,
        **vars(config.corpus),
        **vars(config.training),
        **vars(config.model),
    }
    if config.training.accumulate == 1:
        settings["accumulate"] = None
    if _is_single(config.corpus.sources):
        settings["documents"] = None if config.corpus.documents == "whole" else config.corpus.documents
    shape = ("layers", "hidden_size", "embedding_size") if config.init_from else ()  # it comes with the weights
    words: list[object] = ["train", *map(_shortest, config.corpus.sources)]
    for name in options_in(TrainOptions):
        value = settings.get(name)
        if name not in (*_NOT_REPEATED, *shape) and value is not None and value != _defaults()[name]:
            words += [f"--{name.replace('_', '-')}", value]
    words += ["--steps", schedule[0][1]] if len(schedule) == 1 else ["--schedule", format_schedule(schedule)]
    return command(*words)


def _is_single(sources: list[str]) -> bool:
    """Whether it is one file, which is not cut by itself."""
    return len(sources) == 1 and (sources[0] == BUNDLED or Path(sources[0]).is_file())


def _shortest(path: str) -> str:
    """A path below this folder without the way to it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _defaults() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(TrainOptions)}
