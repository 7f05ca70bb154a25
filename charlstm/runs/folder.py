"""The run directory: the only module that knows file names. Saves are atomic, loads are checked.

    config.json           model, training, corpus and versions: everything that defines the run
    vocabulary.json       the symbols in id order
    weights.safetensors   the best weights; config and vocabulary are in its header, so this file alone is enough
    metrics.jsonl         one JSON object per report
    checkpoints/last.safetensors   what resuming needs

Tensors are stored as safetensors, which runs no code when it is read. Every tensor file carries a SHA-256 over its
header and its tensors, so that a damaged or edited file is noticed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
from flax import nnx
from safetensors.numpy import save

from charlstm.config import RunConfig, from_json, to_json
from charlstm.errors import RunError
from charlstm.files import RUN_FILES, atomic_write, storage_errors, write_text
from charlstm.model.network import fit_tensors, from_tensors, to_tensors
from charlstm.text.vocabulary import Vocabulary

RUNS = Path("runs")
_CONFIG, _VOCABULARY = RUN_FILES
_WEIGHTS, _METRICS = "weights.safetensors", "metrics.jsonl"
_CHECKPOINTS, _LAST = "checkpoints", "last.safetensors"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Weights:
    """What sampling and evaluation need: parameters with the config and the vocabulary they belong to."""

    config: RunConfig
    vocabulary: Vocabulary
    params: nnx.State
    path: Path


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
    def metrics_path(self) -> Path:
        """Where the reports are."""
        return self.path / _METRICS

    # --- weights ---

    def save_weights(self, params: nnx.State) -> None:
        """Save `params` as the run's weights."""
        _save(self.weights_path, to_tensors(params), self._header())

    def _header(self) -> dict[str, str]:
        return {"config": json.dumps(to_json(self.config)), "vocabulary": self.vocabulary.to_json()}

    # --- checkpoints ---

    def save_checkpoint(self, state: Any, facts: dict[str, Any]) -> None:
        """Save a tree of arrays and some JSON values: what `load_checkpoint` gives back, bit for bit."""
        tensors = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
        _save(self.path / _CHECKPOINTS / _LAST, tensors, self._header() | {"facts": json.dumps(facts)})

    def load_checkpoint(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """The last checkpoint as a tree like `like` (arrays or their shapes), and its facts.

        Raises:
            RunError: there is none, or it is damaged or belongs to another configuration.
        """
        path = self.path / _CHECKPOINTS / _LAST
        if not path.exists():
            raise RunError(f"{self.path} has no checkpoint yet", "start it again with `--overwrite`")
        tensors, header = _load(path)
        if {key: header.get(key) for key in self._header()} != self._header():
            raise RunError(
                f"{self.path / _CONFIG} or {_VOCABULARY} is not what the checkpoint was written with",
                "bring the old file back; `--init-from` starts a new run with other settings",
            )
        leaves, tree = jax.tree_util.tree_flatten_with_path(like)
        wanted = {jax.tree_util.keystr(leaf_path): leaf for leaf_path, leaf in leaves}
        return jax.tree.unflatten(tree, fit_tensors(wanted, tensors, str(path))), json.loads(header["facts"])

    # --- metrics ---

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
            raise RunError(f"{path} exists and is not a run", "choose another place with `--run`")
        if not overwrite:
            raise RunError(
                f"{path} already holds a run",
                "go on with `--resume`, replace it with `--overwrite`, or choose another place with `--run`",
            )
        with storage_errors(path):
            for folder in (_CHECKPOINTS, TENSORBOARD):
                shutil.rmtree(path / folder, ignore_errors=True)
            for name in (_CONFIG, _VOCABULARY, _WEIGHTS, _METRICS):
                (path / name).unlink(missing_ok=True)
    with storage_errors(path):
        (path / _CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    write_text(path / _VOCABULARY, vocabulary.to_json() + "\n")
    write_text(path / _CONFIG, json.dumps(to_json(config), indent=2) + "\n")
    return Run(path, config, vocabulary)


def open_run(path: Path) -> Run:
    """The run at `path`.

    Raises:
        RunError: it is missing, of another format or damaged.
    """
    if not _exists(path / _CONFIG):
        raise RunError(f"there is no run at {path}", "`charlstm train --run DIR` makes one")
    config = _config_from(_read(path / _CONFIG), str(path / _CONFIG))
    where = path / _VOCABULARY
    vocabulary = Vocabulary.from_json(_read(where), str(where))
    _check_size(config, vocabulary, str(where))
    return Run(path, config, vocabulary)


def load_weights(path: Path) -> Weights:
    """The weights of a run directory, or of a single weights file.

    Raises:
        RunError: they are missing, of another format, truncated or damaged.
    """
    file = path if _exists(path) and path.is_file() else path / _WEIGHTS
    if not _exists(file):
        if _exists(path / _CONFIG):
            raise RunError(f"{path} has no weights yet", "weights are saved from the first validation on")
        raise RunError(f"there is no run or weights file at {path}", "`charlstm train --run DIR` makes one")
    tensors, header = _load(file)
    config = _config_from(header["config"], str(file))
    vocabulary = Vocabulary.from_json(header["vocabulary"], str(file))
    _check_size(config, vocabulary, str(file))
    return Weights(config, vocabulary, from_tensors(config.model, tensors, str(file)), file)


def newest_run(root: Path = RUNS) -> Path:
    """The run below `root` that was written to last.

    Raises:
        RunError: there is none.
    """
    found = [path.parent for path in root.glob(f"*/{_CONFIG}")] if root.is_dir() else []
    if not found:
        raise RunError(f"there is no run in {root.resolve()}", "`charlstm train` makes one; or name a run")

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
    return from_json(RunConfig, data, where)


def _check_size(config: RunConfig, vocabulary: Vocabulary, where: str) -> None:
    of_model, of_vocabulary = (config.model.vocabulary_size, config.model.rare), (len(vocabulary), vocabulary.rare)
    if of_model != of_vocabulary:
        raise RunError(
            f"{where}: the model has {of_model[0]} symbols ({of_model[1]} rare), the vocabulary {of_vocabulary[0]} "
            f"({of_vocabulary[1]} rare)",
            "the file is damaged",
        )


def _save(path: Path, tensors: dict[str, Any], header: dict[str, str]) -> None:
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.write(save(arrays, header | {"sha256": _digest(arrays, header)}))


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}", "the file is damaged or is not a safetensors file") from error
    digest = header.pop("sha256", None)
    if digest is None:
        raise RunError(f"{path} is not a weights file of charlstm", "name a run directory or its weights.safetensors")
    if digest != _digest(tensors, header):
        raise RunError(f"{path} is damaged or was changed: its SHA-256 does not match", "use a copy, or train again")
    return tensors, header


def _digest(tensors: dict[str, np.ndarray], header: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(header.items())).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
