"""Weights: parameters with the settings and the vocabulary that they belong to. One file holds all three."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flax import nnx

from charlstm.config import ModelConfig, RunConfig
from charlstm.model.counts import Counts, checked_counts
from charlstm.model.members import Params, name_tensors, of_one, params_from
from charlstm.runs.finding import find_weights
from charlstm.runs.header import make_header, read_header
from charlstm.runs.tensors import load_tensors, save_tensors
from charlstm.runtime.memory import require_memory
from charlstm.text.spool import seekable
from charlstm.text.vocabulary import Vocabulary

_COUNTS = "counts."  # what the names of the tables begin with
_COPIES = 3  # as it is read, on the device, and in the form that a program wants


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained model as sampling and evaluation need it; `run` is the folder that it was loaded from, if any.

    `counts` stand beside the network where its text was counted. Several members predict together.
    """

    config: RunConfig
    vocabulary: Vocabulary
    params: Params
    run: Path | None = None
    counts: Counts | None = None

    @property
    def model(self) -> ModelConfig:
        """The shape of the model."""
        return self.config.model

    @property
    def alone(self) -> "Weights":
        """The network without counts."""
        return replace(self, counts=None)

    @property
    def networks(self) -> tuple[nnx.State, ...]:
        """The parameters of each member."""
        return self.params if isinstance(self.params, tuple) else (self.params,)

    def member(self, number: int) -> "Weights":
        """A member as a model of its own; what looks inside a network, or learns from a text, takes the first one."""
        config = replace(self.config, model=of_one(self.model))
        return replace(self, config=config, params=self.networks[number])


def fingerprint(weights: Weights) -> str:
    """The SHA-256 of the parameters: what tells one model from another, whatever files they are in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(name_tensors(weights.params).items()):
        array = np.asarray(tensor, order="C")
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def save_weights(path: Path, weights: Weights) -> None:
    """Save `weights` as one file.

    Raises:
        StorageError: it cannot be written.
    """
    counts = {f"{_COUNTS}{name}": table for name, table in (weights.counts._asdict() if weights.counts else {}).items()}
    save_tensors(path, name_tensors(weights.params) | counts, make_header(weights.config, weights.vocabulary))


def load_weights(path: Path | str) -> Weights:
    """The weights of a run directory, of a single weights file, or of what can be read only once, such as `-`.

    Raises:
        RunError: they are missing, of another format, truncated or damaged.
        MemoryLimitError: they need more memory than there is.
    """
    with seekable(path) as source:
        file = find_weights(source)
        require_memory(
            _COPIES * file.stat().st_size, f"the model in {file}",
            "use a machine with more memory, or on which less is running",
        )  # fmt: skip
        tensors, header = load_tensors(file)
    config, vocabulary = read_header(header, str(file))
    run = source if file != source else None
    counted = {name.removeprefix(_COUNTS): tensors.pop(name) for name in [*tensors] if name.startswith(_COUNTS)}
    counts = checked_counts(counted, config.model, str(file)) if counted else None
    return Weights(config, vocabulary, params_from(config.model, tensors, str(file)), run, counts)
