"""Which run is meant, where a user names none, a folder or a file; nothing here needs JAX."""

from collections.abc import Iterable
from pathlib import Path

from charlstm.errors import RunError
from charlstm.files import user_path
from charlstm.options import TrainOptions
from charlstm.runs.folder import CONFIG, RUNS, WEIGHTS, exists, last_write, read_config


def find_weights(path: Path) -> Path:
    """The weights file of a run directory, or `path` itself if it is a file.

    Raises:
        RunError: there is none.
    """
    file = path if exists(path) and path.is_file() else path / WEIGHTS
    if not exists(file):
        if exists(path / CONFIG):
            raise RunError(f"{path} has no weights yet", "weights are saved from the first validation on")
        raise RunError(f"there is no run or weights file at {path}", "train one first")
    return file


def newest_run(root: Path = RUNS, having: Iterable[str] = ()) -> Path:
    """The run below `root` that was written to last, among those that have all these files.

    Raises:
        RunError: there is none.
    """
    found = [path.parent for path in root.glob(f"*/{CONFIG}")] if root.is_dir() else []
    sound = [path for path in found if all(exists(path / name) for name in having)]
    if found and not sound:
        raise RunError(f"no run in {root.resolve()} has weights yet", "they are saved from the first minute on")
    if not found:
        raise RunError(f"there is no run in {root.resolve()}", "train one first, or name a run")
    return max(sound, key=last_write)


def resumed_run(options: TrainOptions) -> Path:
    """The run to go on with: the one that is named, or the newest.

    Raises:
        RunError: there is none.
    """
    return user_path(options.run) if options.run else newest_run()


def has_local_steps(options: TrainOptions) -> bool:
    """Whether the processes of the run that is asked for average their parameters, but make their steps apart.

    Raises:
        RunError: it is to be resumed, and there is none.
    """
    if not options.resume:
        return options.average_every is not None
    return read_config(resumed_run(options)).training.average_every is not None


def free_name(path: Path) -> Path:
    """`path`, or `path-2`, `path-3` and so on, whichever is the first that does not exist."""
    number = 2
    free = path
    while exists(free):
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free
