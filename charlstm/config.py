"""Settings: frozen, checked when they are made, strict about their JSON.

Defaults stand here. A field that is None in `Wishes` is one that the user left open: `sizing.fit` closes it, for it
depends on the text, the time and the machine.
"""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from charlstm.errors import ConfigError, RunError

Cell = Literal["lstm"]
Unit = Literal["character", "byte"]
Unknown = Literal["error", "skip"]
Precision = Literal["float32", "bfloat16"]
Optimizer = Literal["muon", "adamw"]
T = TypeVar("T")
PrecisionWish = Literal["float32", "bfloat16", "auto"]


def _require(ok: bool, name: str, value: object, wanted: str) -> None:
    if not ok:
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} is {value}, but must be {wanted}", "`charlstm COMMAND --help` lists the options")


def _check_ranges(settings: object, ranges: dict[str, tuple[float, float, str]]) -> None:
    """Hold every field that is set against its closed range; NaN is in none."""
    for name, (low, high, wanted) in ranges.items():
        value = getattr(settings, name)
        _require(value is None or low <= value <= high, name, value, wanted)


_ABOVE_ZERO = math.ulp(0.0)
_POSITIVE = (_ABOVE_ZERO, 1e12, "above 0")
_COUNT = (1, 2**31 - 1, "a whole number from 1 on")
_BELOW_ONE = 1 - 2**-53

_RANGES = {
    "vocabulary_size": _COUNT,
    "rare": (0, 2**31 - 1, "0 or above"),
    "layers": (1, 64, "from 1 to 64"),
    "hidden_size": (1, 65_536, "from 1 to 65536"),
    "embedding_size": (1, 65_536, "from 1 to 65536"),
    "dropout": (0, _BELOW_ONE, "from 0 up to, but not including, 1"),
    "weight_drop": (0, _BELOW_ONE, "from 0 up to, but not including, 1"),
    "batch_size": (1, 1_048_576, "from 1 to 1048576"),
    "sequence_length": (1, 1_048_576, "from 1 to 1048576"),
    "learning_rate": _POSITIVE,
    "weight_decay": (0, 1e6, "0 or above"),
    "clip": _POSITIVE,
    "epochs": _POSITIVE,
    "steps": _COUNT,
    "minutes": _POSITIVE,
    "validation": (0, _BELOW_ONE, "from 0 up to, but not including, 1"),
    "patience": _COUNT,
    "seed": (0, 2**32 - 1, "from 0 to 4294967295"),
    "sample_every": (0, 2**31 - 1, "0 (never) or a number of reports"),
    "temperature": (0, 1e6, "from 0 (always the likeliest) to 1000000"),
    "top_k": (0, 2**31 - 1, "0 (all) or above"),
    "top_p": (_ABOVE_ZERO, 1, "above 0, up to 1"),
    "length": (0, 2**62, "0 or above"),
}


def _check(settings: Any) -> None:
    names = {f.name for f in dataclasses.fields(settings)}
    _check_ranges(settings, {name: bounds for name, bounds in _RANGES.items() if name in names})


def rows(vocabulary_size: int, rare: int) -> int:
    """Rows of embedding and head: one for each symbol that is not rare, and one for all rare ones together."""
    return vocabulary_size - rare + (rare > 0)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model.

    `dropout` is the probability that a unit is silent for one window of one stream, `weight_drop` that a recurrent
    weight is zero for one window. `rare` is how many symbols, the last ones, are one and the same to the network.
    """

    vocabulary_size: int
    layers: int
    hidden_size: int
    embedding_size: int
    dropout: float
    cell: Cell = "lstm"
    weight_drop: float = 0.0
    rare: int = 0

    def __post_init__(self) -> None:
        _check(self)
        _require(self.rare < self.vocabulary_size, "rare", self.rare, f"below the {self.vocabulary_size} symbols")

    @property
    def rows(self) -> int:
        """Rows of embedding and head: one for each symbol that is not rare, and one for all rare ones together."""
        return rows(self.vocabulary_size, self.rare)


@dataclass(frozen=True)
class Wishes:
    """What the user asked `train` for; None means: fit it to the text and the machine."""

    cell: Cell = "lstm"
    layers: int | None = None
    hidden_size: int | None = None
    embedding_size: int | None = None
    dropout: float | None = None
    weight_drop: float | None = None
    batch_size: int | None = None
    sequence_length: int | None = None
    learning_rate: float | None = None
    optimizer: Optimizer = "muon"
    weight_decay: float = 0.1
    clip: float = 1.0
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    validation: float = 0.1
    patience: int | None = None
    precision: PrecisionWish = "auto"
    seed: int = 0
    sample_every: int = 20

    def __post_init__(self) -> None:
        _check(self)
        budgets = [f"--{name}" for name in ("epochs", "steps", "minutes") if getattr(self, name) is not None]
        if len(budgets) > 1:
            raise ConfigError(f"{' and '.join(budgets)} contradict each other", "give one of them")


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained: for `steps`, or for `minutes` if these are over sooner; `warmup` counts steps."""

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

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class CorpusConfig:
    """Which text a run reads: enough to open it again and to notice that it has changed."""

    sources: list[str]
    unit: Unit
    encoding: str
    fingerprint: str
    characters: int


@dataclass(frozen=True)
class SamplingConfig:
    """How the next character is drawn. Filters apply in the order temperature, top-k, top-p."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    length: int = 1000

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class RunConfig:
    """Everything that defines a run. `format` changes when an older program could misread what is written."""

    model: ModelConfig
    training: TrainingConfig
    corpus: CorpusConfig
    format: int = 1
    versions: dict[str, str] = field(default_factory=dict)


def to_json(settings: Any) -> dict[str, Any]:
    """A settings object as plain JSON values."""
    return dataclasses.asdict(settings)


def from_json(kind: type[T], data: object, where: str) -> T:
    """Build `kind` from plain JSON values; names and types must be exactly those of its fields.

    Raises:
        RunError: a field is missing, unknown, of another type or out of range; `where` names the file.
    """
    if not isinstance(data, dict):
        raise RunError(f"{where} should hold a JSON object for {kind.__name__}, not {type(data).__name__}")
    hints = typing.get_type_hints(kind)
    names = {f.name for f in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    if wrong := sorted(names.symmetric_difference(data)):
        raise RunError(
            f"{where}: '{wrong[0]}' is {'missing' if wrong[0] in names else 'not known'} in {kind.__name__}",
            "the file is damaged, or was written by another version of charlstm",
        )
    values = {}
    for name, value in data.items():
        if dataclasses.is_dataclass(hints[name]):
            values[name] = from_json(hints[name], value, where)
        elif _fits(value, hints[name]):
            values[name] = value
        else:
            raise RunError(f"{where}: '{name}' is {value!r}, which is not {hints[name]}", "the file is damaged")
    try:
        return kind(**values)
    except ConfigError as error:
        raise RunError(f"{where}: {error.message}", "the file is damaged") from error


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)
