"""The folder of a run: the only module that knows its file names. Nothing here needs JAX.

config.json           model, training, corpus and versions: everything that defines the run
vocabulary.json       the symbols in id order
weights.safetensors   the best weights; config and vocabulary are in its header, so this file alone is enough
metrics.jsonl         one JSON object per report
checkpoints/last.safetensors       what resuming needs
checkpoints/previous.safetensors   the checkpoint before it, should the last one be damaged

A new run is made in .new, a folder inside, and takes its place as soon as it can be resumed; one that replaces an
older run as soon as it has weights, too. Until then the older one is whole. `settle` brings a folder into order in
which a process was killed.
"""

import dataclasses
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from charlstm.config import RunConfig, to_dict
from charlstm.errors import RunError, setting
from charlstm.files import remove_temporary, replace, require_file, storage_errors, write_text
from charlstm.runs.header import check_size, config_from, make_header
from charlstm.runs.metrics import Metrics
from charlstm.text.vocabulary import Vocabulary

RUNS = Path("runs")
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
_VOCABULARY, _METRICS = "vocabulary.json", "metrics.jsonl"
_CHECKPOINTS, _LAST, _PREVIOUS, _NEXT = "checkpoints", "last.safetensors", "previous.safetensors", "next.safetensors"
_TENSORBOARD = "tensorboard"
_NEW, _READY = ".new", ".ready"  # a run in the making; one that is about to take its place


@dataclass(frozen=True)
class Run:
    """A run directory that exists and is sound. As long as the run is new, its files are in another `folder`."""

    path: Path
    config: RunConfig
    vocabulary: Vocabulary
    folder: Path

    @property
    def weights_path(self) -> Path:
        """Where the best weights are."""
        return self.folder / WEIGHTS

    @property
    def checkpoint_paths(self) -> tuple[Path, Path]:
        """Where the last checkpoint and the one before it are."""
        return self.folder / _CHECKPOINTS / _LAST, self.folder / _CHECKPOINTS / _PREVIOUS

    @property
    def next_checkpoint_path(self) -> Path:
        """Where a checkpoint is written; `rotate_checkpoints` makes it the last one."""
        return self.folder / _CHECKPOINTS / _NEXT

    @property
    def metrics(self) -> Metrics:
        """The reports."""
        return Metrics(self.folder / _METRICS)

    @property
    def header(self) -> dict[str, str]:
        """What every tensor file of the run carries, so that it is enough by itself."""
        return make_header(self.config, self.vocabulary)

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each of its files that is there now."""
        names = [CONFIG, _VOCABULARY, WEIGHTS, _METRICS]
        for folder in (_CHECKPOINTS, _TENSORBOARD):
            names += sorted(f"{folder}/{file.name}" for file in (self.folder / folder).glob("[!.]*"))
        found: dict[str, int] = {}
        for name in names:
            with suppress(OSError):  # it may be gone by now, for a run may be training
                found[name] = (self.folder / name).stat().st_size
        return found

    @property
    def replaces_another(self) -> bool:
        """Whether the run is new, and an older one still stands in its place."""
        return self.folder != self.path and exists(self.path / CONFIG)

    def rotate_checkpoints(self) -> None:
        """Make the checkpoint that was just written the last one, and the last one the one before it."""
        last, previous = self.checkpoint_paths
        with storage_errors(last):
            if last.exists():
                replace(last, previous)
            replace(self.next_checkpoint_path, last)

    def promote(self) -> "Run":
        """Put a new run in its place; from here on it counts, and the older one is gone."""
        if self.folder == self.path:
            return self
        with storage_errors(self.path):
            replace(self.folder, self.path / _READY)
        settle(self.path)
        return dataclasses.replace(self, folder=self.path)

    def with_config(self, config: RunConfig) -> "Run":
        """The run with other settings, written down."""
        if config != self.config:
            write_text(self.folder / CONFIG, json.dumps(to_dict(config), indent=2) + "\n")
        return dataclasses.replace(self, config=config)


def tensorboard_path(run: Path) -> Path:
    """Where TensorBoard's event files of a run are."""
    return run / _TENSORBOARD


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Let a new run begin at `path` only where nothing is lost by it.

    Raises:
        RunError: there is something already, and `overwrite` is not given or it is no run.
    """
    if not exists(path) or (path.is_dir() and not any(each.name[0] != "." for each in path.iterdir())):
        return
    if not exists(path / CONFIG):
        raise RunError(f"{path} exists and is not a run", f"choose another place with {setting('run')}")
    if not overwrite:
        raise RunError(
            f"{path} already holds a run",
            f"continue it with {setting('resume', True)}, replace it with {setting('overwrite', True)}, "
            f"or choose another place with {setting('run')}",
        )


def stage_run(path: Path, config: RunConfig, vocabulary: Vocabulary, overwrite: bool = False) -> Run:
    """Make a new run, which does not stand at `path` before it is promoted.

    Raises:
        RunError: there is something at `path` already, and `overwrite` is not given or it is no run.
        StorageError: it cannot be written.
    """
    refuse_existing(path, overwrite)
    folder = path / _NEW
    with storage_errors(path):
        (folder / _CHECKPOINTS).mkdir(parents=True)
    write_text(folder / _METRICS, "")
    write_text(folder / _VOCABULARY, vocabulary.to_json() + "\n")
    write_text(folder / CONFIG, json.dumps(to_dict(config), indent=2) + "\n")
    return Run(path, config, vocabulary, folder)


def create_run(path: Path, config: RunConfig, vocabulary: Vocabulary) -> Run:
    """Make a new run in its place.

    Raises:
        RunError: there is something at `path` already.
        StorageError: it cannot be written.
    """
    return stage_run(path, config, vocabulary).promote()


def settle(path: Path) -> None:
    """Bring the folder of a run into order: finish what a killed process had all but done, undo the rest.

    Only for the owner of its lock.

    Raises:
        RunError: a folder of the run is a link: writing would change what is elsewhere.
        StorageError: it cannot be written.
    """
    # Files are replaced, never written through a link.
    for name in (_CHECKPOINTS, _TENSORBOARD, _NEW, _READY, f"{_READY}/{_CHECKPOINTS}"):
        if (path / name).is_symlink():
            raise RunError(f"{path / name} is a link, and a run writes in its own folder only", "put a folder there")
    with storage_errors(path):
        if (path / _READY).is_dir():
            _take_place(path / _READY, path)
        for name in (_READY, _NEW):
            _remove(path / name)
        checkpoints = path / _CHECKPOINTS
        if (checkpoints / _NEXT).is_file():  # it is whole, or it would have another name
            if (checkpoints / _LAST).exists():
                replace(checkpoints / _LAST, checkpoints / _PREVIOUS)
            replace(checkpoints / _NEXT, checkpoints / _LAST)
        _remove(checkpoints / _NEXT)
        for folder in (path, checkpoints):
            remove_temporary(folder)


def _take_place(ready: Path, path: Path) -> None:
    """Move the files of a new run over those of an older one, the settings last: as long as they are not moved, the
    older run's other files may still be there."""
    if (ready / CONFIG).exists():
        began = (ready / CONFIG).stat().st_mtime
        for old in (path / _CHECKPOINTS / _PREVIOUS, *(path / _TENSORBOARD).glob("*")):
            if old.is_file() and old.stat().st_mtime < began:  # else it is of the new run
                old.unlink()
        with suppress(OSError):
            (path / _TENSORBOARD).rmdir()  # if it is empty now
        (path / _CHECKPOINTS).mkdir(exist_ok=True)
        for name in (f"{_CHECKPOINTS}/{_LAST}", f"{_CHECKPOINTS}/{_PREVIOUS}", WEIGHTS, _METRICS, _VOCABULARY, CONFIG):
            if (ready / name).exists():
                replace(ready / name, path / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def open_run(path: Path) -> Run:
    """The run at `path`.

    Raises:
        RunError: it is missing, of another format or damaged.
    """
    config = read_config(path)
    where = path / _VOCABULARY
    vocabulary = Vocabulary.from_json(_read(where), str(where))
    check_size(config, vocabulary, str(where))
    return Run(path, config, vocabulary, path)


def open_any_run(path: Path) -> Run:
    """The run at `path` or, where none has taken its place yet, the one that is being made there.

    Raises:
        RunError: there is neither, or it is of another format or damaged.
    """
    if exists(path / CONFIG) or not exists(path / _NEW / CONFIG):
        return open_run(path)
    return dataclasses.replace(open_run(path / _NEW), path=path)


def read_config(path: Path) -> RunConfig:
    """The settings of the run at `path`.

    Raises:
        RunError: there is no run, or it is of another format or damaged.
    """
    if not exists(path / CONFIG):
        raise RunError(f"there is no run at {path}", "train one first")
    return config_from(_read(path / CONFIG), str(path / CONFIG))


def is_run(path: Path) -> bool:
    """Whether the folder `path` is that of a run."""
    return all(exists(path / name) for name in (CONFIG, _VOCABULARY))


def exists(path: Path) -> bool:
    """Whether there is something at `path` that may be seen; `Path.exists` raises where a folder is closed to us."""
    return os.path.exists(path)  # noqa: PTH110


def last_write(path: Path) -> float:
    """When the run at `path` was written to last, in seconds as `st_mtime` has them."""
    # Folders too, for files are replaced; what is listed may be gone a moment later, for a run may be training.
    names = "", _METRICS, _CHECKPOINTS
    return max((path / name).stat().st_mtime for name in names if exists(path / name))


def _read(path: Path) -> str:
    try:
        require_file(path)
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}", "the run is damaged") from error
