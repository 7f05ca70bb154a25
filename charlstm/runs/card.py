"""The card of a run: what is known of it without running it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.config import ModelConfig, RunConfig, to_dict
from charlstm.model.members import abstract_params, name_tensors
from charlstm.runs.folder import CONFIG, WEIGHTS, exists, open_any_run
from charlstm.runs.header import read_header
from charlstm.runs.tensors import load_tensors
from charlstm.runs.weights import Weights
from charlstm.text.spool import name_of, seekable
from charlstm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Tensor:
    """A parameter tensor: `count` numbers, the `share` of all."""

    name: str
    shape: tuple[int, ...]
    count: int
    share: float


@dataclass(frozen=True)
class Best:
    """The lowest validation loss so far, in nats per character, and after how many steps it was measured."""

    loss: float
    step: int

    def to_dict(self) -> dict[str, Any]:
        """The figures for JSON."""
        bits, perplexity = self.loss / math.log(2), math.exp(min(self.loss, 700.0))
        return {"loss": self.loss, "bits_per_character": bits, "perplexity": perplexity, "step": self.step}


@dataclass(frozen=True)
class Card:
    """What is known of the run or weights file `name`.

    `reports` are the lines of metrics.jsonl, of a weights file none; `files` the bytes of each file. A new run
    `has_weights` from its first validation on, and before its first save it is `in_the_making`.
    """

    name: str
    config: RunConfig
    vocabulary: Vocabulary
    tensors: list[Tensor]
    reports: list[dict[str, Any]]
    files: dict[str, int]
    has_weights: bool = True
    in_the_making: bool = False

    @property
    def parameters(self) -> int:
        """How many numbers the model has learned."""
        return sum(tensor.count for tensor in self.tensors)

    @property
    def best(self) -> Best | None:
        """The best validation, if there was one."""
        found = [(r["validation_loss"], r["step"]) for r in self.reports if r["validation_loss"] is not None]
        return Best(*min(found)) if found else None

    def to_dict(self) -> dict[str, Any]:
        """What `inspect --json` prints."""
        symbols, vocabulary = self.vocabulary.symbols, self.vocabulary
        return {
            "run": self.name,
            "in_the_making": self.in_the_making,
            "has_weights": self.has_weights,
            "config": to_dict(self.config),
            "parameters": self.parameters,
            "tensors": [vars(tensor) | {"shape": list(tensor.shape)} for tensor in self.tensors],
            "vocabulary": {
                "size": len(vocabulary), "unit": vocabulary.unit, "symbols": symbols,
                "rare_symbols": symbols[len(symbols) - vocabulary.rare :], "boundary": vocabulary.boundary,
            },
            "best": self.best and self.best.to_dict(),
            "history": self.reports,
            "files": self.files,
        }  # fmt: skip


def read_card(path: Path | str) -> Card:
    """The card of a run, also of one that has no weights yet, or of a weights file.

    Raises:
        RunError: it is missing, of another format or damaged.
    """
    with seekable(path) as source:
        name, file = name_of(path), source
        if not exists(source / CONFIG) and exists(source / WEIGHTS):
            file = source / WEIGHTS
        if exists(file) and file.is_file():
            config, vocabulary = read_header(load_tensors(file)[1], str(file))
            return Card(name, config, vocabulary, _tensors(config.model), [], {file.name: file.stat().st_size})
        run = open_any_run(source)
        reports, sizes = run.metrics.read(), run.sizes
    tensors, is_new = _tensors(run.config.model), run.folder != run.path
    return Card(name, run.config, run.vocabulary, tensors, reports, sizes, WEIGHTS in sizes, is_new)


def card_of(weights: Weights) -> Card:
    """The card of the run that weights were loaded from or, if they are not of a run, of what they know themselves.

    Raises:
        RunError: the run is damaged.
    """
    if weights.run:
        return read_card(weights.run)
    return Card("a model", weights.config, weights.vocabulary, _tensors(weights.model), [], {})


def _tensors(model: ModelConfig) -> list[Tensor]:
    """The parameters of a model of that shape."""
    shapes = {name: leaf.shape for name, leaf in name_tensors(abstract_params(model)).items()}
    total = sum(map(math.prod, shapes.values()))
    return [Tensor(name, shape, math.prod(shape), math.prod(shape) / total) for name, shape in shapes.items()]
