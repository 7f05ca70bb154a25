"""The folder of a run: the only module that knows its file names. Nothing here needs JAX.

config.json           model, training, corpus and versions: everything that defines the run
vocabulary.json       the symbols in id order
weights.safetensors   the best weights; config and vocabulary are in its header, so this file alone is enough
metrics.jsonl         one JSON object per report
checkpoints/last.safetensors   what resuming needs
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.config import RunConfig, from_dict, to_dict
from charlstm.errors import RunError, setting
from charlstm.files import storage_errors, write_text
from charlstm.text.vocabulary import Vocabulary

RUNS = Path("runs")
_CONFIG, _VOCABULARY = "config.json", "vocabulary.json"
_WEIGHTS, _METRICS = "weights.safetensors", "metrics.jsonl"
_CHECKPOINTS, _LAST = "checkpoints", "last.safetensors"
_TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Run:
    """A run directory that exists and is sound."""

    path: Path
    config: RunConfig
    vocabulary: Vocabulary

    @property
    def weights_path(self) -> Path:
        """Where the best weights are."""
        return self.path / _WEIGHTS

    @property
    def checkpoint_path(self) -> Path:
        """Where the last checkpoint is."""
        return self.path / _CHECKPOINTS / _LAST

    @property
    def metrics_path(self) -> Path:
        """Where the reports are."""
        return self.path / _METRICS

    @property
    def tensorboard_path(self) -> Path:
        """Where TensorBoard's event files are."""
        return self.path / _TENSORBOARD

    @property
    def header(self) -> dict[str, str]:
        """What every tensor file of the run carries, so that it is enough by itself."""
        return make_header(self.config, self.vocabulary)

    def append_metrics(self, report: dict[str, Any]) -> None:
        """Add one report as one line of JSON."""
        with storage_errors(self.metrics_path), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """The reports so far; a last line that a crash left half-written is left out."""
        if self.metrics_path.exists():
            for line in self.metrics_path.read_text("utf-8").splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    return

    def cut_metrics(self, step: int) -> None:
        """Forget reports after `step`, which resuming makes anew."""
        kept = [json.dumps(report) + "\n" for report in self.read_metrics() if report["step"] <= step]
        write_text(self.metrics_path, "".join(kept))


def create_run(path: Path, config: RunConfig, vocabulary: Vocabulary, overwrite: bool = False) -> Run:
    """Make the run directory with its config and vocabulary.

    Raises:
        RunError: there is something at `path` already, and `overwrite` is not given or it is no run.
        StorageError: it cannot be written.
    """
    if _exists(path) and (not path.is_dir() or any(path.iterdir())):
        if not (path / _CONFIG).exists():
            raise RunError(f"{path} exists and is not a run", f"choose another place with {setting('run')}")
        if not overwrite:
            raise RunError(
                f"{path} already holds a run",
                f"continue it with {setting('resume', True)}, replace it with {setting('overwrite', True)}, "
                f"or choose another place with {setting('run')}",
            )
        with storage_errors(path):
            for folder in (_CHECKPOINTS, _TENSORBOARD):
                shutil.rmtree(path / folder, ignore_errors=True)
            for name in (_CONFIG, _VOCABULARY, _WEIGHTS, _METRICS):
                (path / name).unlink(missing_ok=True)
    with storage_errors(path):
        (path / _CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    write_text(path / _VOCABULARY, vocabulary.to_json() + "\n")
    write_text(path / _CONFIG, json.dumps(to_dict(config), indent=2) + "\n")
    return Run(path, config, vocabulary)


def open_run(path: Path) -> Run:
    """The run at `path`.

    Raises:
        RunError: it is missing, of another format or damaged.
    """
    if not _exists(path / _CONFIG):
        raise RunError(f"there is no run at {path}", "train one first")
    config = _config_from(_read(path / _CONFIG), str(path / _CONFIG))
    where = path / _VOCABULARY
    vocabulary = Vocabulary.from_json(_read(where), str(where))
    _check_size(config, vocabulary, str(where))
    return Run(path, config, vocabulary)


def make_header(config: RunConfig, vocabulary: Vocabulary) -> dict[str, str]:
    """Settings and vocabulary as they travel inside a tensor file."""
    return {"config": json.dumps(to_dict(config)), "vocabulary": vocabulary.to_json()}


def read_header(header: dict[str, str], where: str) -> tuple[RunConfig, Vocabulary]:
    """The inverse of `make_header`; `where` names the file.

    Raises:
        RunError: it is of another format or damaged.
    """
    config = _config_from(header["config"], where)
    vocabulary = Vocabulary.from_json(header["vocabulary"], where)
    _check_size(config, vocabulary, where)
    return config, vocabulary


def find_weights(path: Path) -> Path:
    """The weights file of a run directory, or `path` itself if it is a file.

    Raises:
        RunError: there is none.
    """
    file = path if _exists(path) and path.is_file() else path / _WEIGHTS
    if not _exists(file):
        if _exists(path / _CONFIG):
            raise RunError(f"{path} has no weights yet", "weights are saved from the first validation on")
        raise RunError(f"there is no run or weights file at {path}", "train one first")
    return file


def is_run(path: Path) -> bool:
    """Whether the folder `path` is that of a run."""
    return all(_exists(path / name) for name in (_CONFIG, _VOCABULARY))


def newest_run(root: Path = RUNS) -> Path:
    """The run below `root` that was written to last.

    Raises:
        RunError: there is none.
    """
    found = [path.parent for path in root.glob(f"*/{_CONFIG}")] if root.is_dir() else []
    if not found:
        raise RunError(f"there is no run in {root.resolve()}", "train one first, or name a run")

    def written(path: Path) -> float:
        # Folders too, for files are replaced; what is listed may be gone a moment later, for a run may be training.
        names = "", _METRICS, _CHECKPOINTS
        return max((path / name).stat().st_mtime for name in names if _exists(path / name))

    return max(found, key=written)


def free_name(path: Path) -> Path:
    """`path`, or `path-2`, `path-3` and so on, whichever is the first that does not exist."""
    number = 2
    free = path
    while _exists(free):
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free


def _exists(path: Path) -> bool:
    """Whether there is something at `path` that may be seen; `Path.exists` raises where a folder is closed to us."""
    return os.path.exists(path)  # noqa: PTH110


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}", "the run is damaged") from error


def _config_from(text: str, where: str) -> RunConfig:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{where} does not hold JSON: {error}", "the file is damaged") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != RunConfig.format:
        raise RunError(
            f"{where} is of format {found}, but this program reads format {RunConfig.format}",
            "use the version of charlstm that wrote it, or train again",
        )
    return from_dict(RunConfig, data, where)


def _check_size(config: RunConfig, vocabulary: Vocabulary, where: str) -> None:
    of_model, of_vocabulary = (config.model.vocabulary_size, config.model.rare), (len(vocabulary), vocabulary.rare)
    if of_model != of_vocabulary:
        raise RunError(
            f"{where}: the model has {of_model[0]} symbols ({of_model[1]} rare), the vocabulary {of_vocabulary[0]} "
            f"({of_vocabulary[1]} rare)",
            "the file is damaged",
        )
