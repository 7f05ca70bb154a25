"""What a run is made with: frozen, checked when it is made, strict about its JSON. Defaults stand in options/."""

import dataclasses
import re
import typing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from charlstm.errors import ConfigError, RunError, setting
from charlstm.options import Cell, Optimizer, Precision, TrainOptions, Unit, is_schedule
from charlstm.schema import COUNT, UP_TO_ALL, Bounds, fits, options_in

GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}  # blocks of columns in a kernel: gates and candidate
T = TypeVar("T")

_TEXT = Bounds(2, 2**62, "2 or above")
_OWN_BOUNDS = {
    "vocabulary_size": COUNT,
    "rare": UP_TO_ALL,
    "warmup": UP_TO_ALL,
    "characters": _TEXT,
    "order_seed": options_in(TrainOptions)["seed"].bounds,
}
_BOUNDS = _OWN_BOUNDS | {name: about.bounds for name, about in options_in(TrainOptions).items() if about.bounds}


def _check(settings: Any) -> None:
    """Hold every field against its bounds, which are those of the option of the same name."""
    for each in dataclasses.fields(settings):
        if each.name in _BOUNDS:
            _BOUNDS[each.name].check(each.name, getattr(settings, each.name))


def rows(vocabulary_size: int, rare: int) -> int:
    """Rows of embedding and head: one for each symbol that is not rare, and one for all rare ones together."""
    return vocabulary_size - rare + (rare > 0)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a model.

    `dropout` is the dropout rate of each layer's output, `weight_drop` that of the recurrent weights; a mask lasts for
    one window. `rare` is how many symbols, the last ones, are one and the same to the network. Several `members` are
    networks of that shape which predict together.
    """

    vocabulary_size: int
    layers: int
    hidden_size: int
    embedding_size: int
    dropout: float
    cell: Cell = "lstm"
    weight_drop: float = 0.0
    rare: int = 0
    members: int = 1

    def __post_init__(self) -> None:
        _check(self)
        Bounds(0, self.vocabulary_size - 1, f"below the {self.vocabulary_size} symbols").check("rare", self.rare)

    def for_inference(self) -> "ModelConfig":
        """The same without what only training uses: programs are compiled once for all dropout rates."""
        return dataclasses.replace(self, dropout=0.0, weight_drop=0.0)

    @property
    def words(self) -> str:
        """`1 x 512 LSTM`, `3 members of 1 x 512 LSTM`."""
        network = f"{self.layers} x {self.hidden_size} {self.cell.upper()}"
        return network if self.members == 1 else f"{self.members} members of {network}"

    @property
    def gates(self) -> int:
        """Blocks of columns in the kernels of a layer."""
        return GATES[self.cell]

    @property
    def rows(self) -> int:
        """Rows of embedding and head: one for each symbol that is not rare, and one for all rare ones together."""
        return rows(self.vocabulary_size, self.rare)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained: for `steps`, or for `minutes` if these are over sooner; `warmup` counts steps.

    Unless it is to be the `network_alone`, n-grams of the text are counted at the end, to stand beside it.
    `schedule` repeats a run whose length was estimated while it went: at each step, the number of steps in all.
    A step is made in `accumulate` parts of the streams, one after the other, and `chunk_length` characters of its
    window at a time, all at once if that is None: so it needs less memory.
    Several processes average gradients in each step or, if `average_every` is given, parameters after so many.
    """

    batch_size: int
    sequence_length: int
    optimizer: Optimizer
    learning_rate: float
    weight_decay: float
    clip: float
    warmup: int
    steps: int
    minutes: float | None
    validation: float
    patience: int | None
    precision: Precision
    seed: int
    sample_every: int
    network_alone: bool = True
    schedule: list[list[int]] = field(default_factory=list[list[int]])
    accumulate: int = 1
    chunk_length: int | None = None
    average_every: int | None = None

    def __post_init__(self) -> None:
        _check(self)
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"{setting('accumulate')} is {self.accumulate}, which does not divide {setting('batch_size')}, "
                f"{self.batch_size}",
                "all parts of a step are of the same size",
            )
        if not is_schedule(self.schedule):
            raise ConfigError(f"{setting('schedule')} does not rise from step 0, or has an end that is past")

    @property
    def streams_at_once(self) -> int:
        """Streams of a part of a step; the devices share them."""
        return self.batch_size // self.accumulate

    @property
    def characters_at_once(self) -> int:
        """Characters of a chunk of a window."""
        return min(self.chunk_length or self.sequence_length, self.sequence_length)


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Which text a run reads: enough to open it again and to notice that it has changed.

    `documents` says how it is cut, `order_seed` in which order they come, and `characters` counts boundaries, too.
    """

    sources: list[str]
    unit: Unit
    encoding: str
    fingerprint: str
    characters: int
    documents: str = "whole"
    order_seed: int = 0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that defines a run. `format` changes when an older program could misread what is written."""

    model: ModelConfig
    training: TrainingConfig
    corpus: CorpusConfig
    format: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    init_from: str | None = None

    def without_paths(self) -> "RunConfig":
        """The same with the names of files instead of where they are on this machine."""
        corpus = dataclasses.replace(self.corpus, sources=[*map(last_part, self.corpus.sources)])
        return dataclasses.replace(self, corpus=corpus, init_from=self.init_from and last_part(self.init_from))

    def without_budget(self) -> "RunConfig":
        """The same without what may change when a run goes on: its length, its parts, its places, the versions."""
        training = dataclasses.replace(
            self.training, steps=1, minutes=None, patience=None, sample_every=0, accumulate=1, chunk_length=None
        )
        corpus = dataclasses.replace(self.corpus, sources=[])
        return dataclasses.replace(self, training=training, corpus=corpus, versions={}, init_from=None)


def last_part(path: str) -> str:
    """The name of a file or folder without those that it is in, on any system: what may be published."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path


def to_dict(settings: Any) -> dict[str, Any]:
    """A settings object as plain JSON values."""
    return dataclasses.asdict(settings)


def from_dict(kind: type[T], data: object, where: str) -> T:
    """Build `kind` from plain JSON values; names and types must be those of its fields, defaults may be left out.

    Raises:
        RunError: a field is missing, unknown, of another type or out of range; `where` names the file.
    """
    if not isinstance(data, dict):
        raise RunError(f"{where} should hold a JSON object for {kind.__name__}, not {type(data).__name__}")
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
    names = {f.name for f in fields}
    required = {f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING}
    if wrong := sorted((required - set(data)) | (set(data) - names)):
        raise RunError(
            f"{where}: '{wrong[0]}' is {'missing' if wrong[0] in names else 'not known'} in {kind.__name__}",
            "the file is damaged, or was written by another version of charlstm",
        )
    values = {}
    for name, value in data.items():
        if dataclasses.is_dataclass(hints[name]):
            values[name] = from_dict(hints[name], value, where)
        elif fits(value, hints[name]):
            values[name] = value
        else:
            raise RunError(f"{where}: '{name}' is {value!r}, which is not {hints[name]}", "the file is damaged")
    try:
        return kind(**values)
    except ConfigError as error:
        raise RunError(f"{where}: {error.message}", "the file is damaged") from error
