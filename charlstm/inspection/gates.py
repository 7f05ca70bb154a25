"""What the gates of every layer do over a text: how often they are closed and open, and how long a memory lasts.

The shares are those of Karpathy, Johnson & Fei-Fei (2015), "Visualizing and Understanding Recurrent Networks": a gate
is nearly closed (left-saturated) below 0.1, nearly open (right-saturated) above 0.9.

What lies on the belt c' = f c + ... fades with f. Of a memory that is k characters old f_1 f_2 ... f_k is left, and
that is on average about mean(f)^k = exp(-k / tau), with the time constant tau = -1 / ln mean(f) in characters. In a GRU
the update gate has the part of f. (With the mean of ln f it would be the rate at which the last rest vanishes, once a
character at which f is nearly 0 has cleared it. Of a unit that keeps a line and is cleared at its end, what is left
falls to 1/e in 20 characters: the mean of f says 18, that of ln f 7.)

N: characters that are shown.  H: hidden size.  B: streams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.errors import ConfigError, RunError, setting
from charlstm.evaluation.static import WARM_UP
from charlstm.files import atomic_write
from charlstm.inspection.passage import Passage, open_passage
from charlstm.inspection.trace import trace_streams
from charlstm.model.cells import Inside
from charlstm.options import InspectOptions, OnProgress, Unit
from charlstm.runs.weights import Weights
from charlstm.runtime.memory import require_memory
from charlstm.text.vocabulary import BOUNDARY, Vocabulary

CLOSED, OPEN = 0.1, 0.9
# What each cell has from 0 to 1, and which of them says what is kept.
GATES = {"lstm": ("forget", "input", "output"), "gru": ("reset", "update"), "rnn": ()}
KEEPS = {"lstm": "forget", "gru": "update", "rnn": None}
MEMORY = {"lstm": "cell", "gru": "hidden", "rnn": "hidden"}

_CHARACTERS, _PIECES = 20_000, 16
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1)
_BYTES = 48  # of a unit and character: six arrays, twice as they are put together
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class LayerGates:
    """One layer: what happened in it, by name `[N, H]`; of each unit's gates the share of characters, `[H]`.

    `closed` and `open` are by gate; `time_constants` `[H]` are in characters, infinite where a gate never lets go, and
    None in a cell without gates. These rest on all characters that were read, and not only on the N that are shown.
    """

    arrays: dict[str, np.ndarray]
    closed: dict[str, np.ndarray]
    open: dict[str, np.ndarray]
    time_constants: np.ndarray | None

    def varying(self, name: str, count: int) -> list[int]:
        """The `count` units that vary most over what is shown, such that similar ones stand together.

        They are in the order of their angles in the plane of the first two principal components of their correlations
        (Friendly 2002).
        """
        values = self.arrays[name].astype(np.float64)
        units = np.argsort(-values.std(0), kind="stable")[:count]
        centred = values[:, units] - values[:, units].mean(0)
        unit_vectors = centred / np.maximum(np.linalg.norm(centred, axis=0), _TINY)
        _, vectors = np.linalg.eigh(unit_vectors.T @ unit_vectors)  # in rising order
        angles = np.arctan2(vectors[:, -2 % len(units)], vectors[:, -1])
        order = np.argsort(angles, kind="stable")
        gaps = np.diff(angles[order], append=angles[order[0]] + 2 * np.pi)
        return units[np.roll(order, -1 - int(np.argmax(gaps)))].tolist()  # the circle is cut where it is thinnest


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates of a model over a text; layers by their numbers, from 1.

    `ids` `[N]` are the characters that are shown, `text` is what they say, and `symbols` what each of them does, with
    nothing for the other bytes of a character. Shares and time constants, in `unit`s, rest on so many `characters`, and
    `where` says what of.
    """

    cell: str
    layers: dict[int, LayerGates]
    ids: np.ndarray
    text: str
    symbols: list[str]
    unit: Unit
    characters: int
    where: str

    @property
    def keeps(self) -> str | None:
        """The gate that says how much of the past is kept; a plain RNN has none."""
        return KEEPS[self.cell]

    @property
    def memory(self) -> str:
        """The state in which the past is kept."""
        return MEMORY[self.cell]

    def to_dict(self) -> dict[str, Any]:
        """The figures, as JSON has them."""
        layers = []
        for number, layer in self.layers.items():
            gates = {
                gate: {"closed": float(layer.closed[gate].mean()), "open": float(layer.open[gate].mean())}
                for gate in layer.closed
            }
            about: dict[str, Any] = {"layer": number, "gates": gates}
            if layer.time_constants is not None:
                constants = layer.time_constants
                quantiles = np.quantile(constants, _QUANTILES, method="lower").tolist()
                about["time_constants"] = {
                    "gate": self.keeps, "quantiles": dict(zip(map(str, _QUANTILES), quantiles, strict=True)),
                    "units": constants.tolist(),
                }  # fmt: skip
            layers.append(about)
        return {"cell": self.cell, "characters": self.characters, "text": self.where, "layers": layers}

    def save(self, path: Path) -> None:
        """Save the arrays, as NumPy's `load` reads them: `ids` `[N]`, `text`, `layers.0.forget` `[N, H]` and so on.

        Of each unit, `[H]`: `layers.0.time_constants`, `layers.0.forget.closed` and `.open`.

        Raises:
            StorageError: the file cannot be written.
        """
        arrays: dict[str, Any] = {"ids": self.ids, "text": np.array(self.text)}
        for number, layer in self.layers.items():
            of_units = {f"{gate}.closed": values for gate, values in layer.closed.items()}
            of_units |= {f"{gate}.open": values for gate, values in layer.open.items()}
            if layer.time_constants is not None:
                of_units["time_constants"] = layer.time_constants
            arrays |= {f"layers.{number - 1}.{name}": array for name, array in (layer.arrays | of_units).items()}
        with atomic_write(path) as file:
            np.savez_compressed(file, **arrays)


def open_gates(weights: Weights, options: InspectOptions) -> Gates:
    """The gates over the text of `options`, or over pieces of the run's validation part.

    Raises:
        ConfigError: there is no such layer, or no text.
        CorpusError, VocabularyError: the text cannot be read, or has characters that the model does not know.
        RunError: the run's own text has changed since, or the weights are not finite.
        MemoryLimitError: there is not memory enough for so many characters.
    """
    numbers = layer_numbers(weights, options)
    pieces = max(1, min(_PIECES, _CHARACTERS // options.shown))  # the first of them is shown
    passage = open_passage(weights, options, _CHARACTERS, pieces, WARM_UP)
    return read_gates(weights, passage, numbers, options.shown, options.on_progress)


def layer_numbers(weights: Weights, options: InspectOptions) -> Sequence[int]:
    """The layers that are looked at, from 1.

    Raises:
        ConfigError: the model does not have it.
    """
    layers = weights.model.layers
    if options.layer is None:
        return range(1, layers + 1)
    if options.layer > layers:
        there_are = "it has one" if layers == 1 else f"its layers are 1 to {layers}"
        raise ConfigError(f"the model has no layer {options.layer}", f"{there_are}: {setting('layer', 1)}")
    return [options.layer]


def read_gates(
    weights: Weights, passage: Passage, numbers: Sequence[int], shown: int, on_progress: OnProgress | None = None
) -> Gates:
    """The gates of some layers over a passage, whose pieces are read side by side.

    Raises:
        RunError: the weights are not finite.
        MemoryLimitError: there is not memory enough for so many characters.
    """
    lengths = np.array([len(piece) for piece in passage.pieces])
    ids = np.zeros((lengths.max(), len(lengths)), passage.pieces[0].dtype)
    for stream, piece in enumerate(passage.pieces):
        ids[: len(piece), stream] = piece
    first = passage.pieces[0][passage.warm_up :][:shown]
    require_memory(
        _BYTES * len(first) * weights.model.hidden_size * len(numbers),
        f"to keep the gates of {len(first):,} characters", f"look at fewer: {setting('shown', 100)}, or at one layer",
    )  # fmt: skip
    watched = [_Layer(weights.model.cell, len(first)) for _ in numbers]
    start = 0
    for insides in trace_streams(weights, ids):
        times = np.arange(start, start + len(insides[0].hidden))
        counts = (times[:, None] >= passage.warm_up) & (times[:, None] < lengths)
        for number, layer in zip(numbers, watched, strict=True):
            layer.add(insides[number - 1], counts, max(0, passage.warm_up - start))
        start += len(times)
        if on_progress:
            on_progress("reading the text", start, len(ids))
    layers = {number: layer.result() for number, layer in zip(numbers, watched, strict=True)}
    return Gates(
        weights.model.cell, layers, np.asarray(first), weights.vocabulary.text_of(weights.vocabulary.decode(first)),
        _symbols(weights.vocabulary, first), weights.vocabulary.unit, passage.characters, passage.where,
    )  # fmt: skip


def _symbols(vocabulary: Vocabulary, ids: np.ndarray) -> list[str]:
    """A text for each id, of a boundary a line end; of a character that is several bytes the first has it."""
    points = vocabulary.points[ids]
    text = "".join(map(chr, np.where(points == BOUNDARY, ord("\n"), points).tolist()))
    if vocabulary.unit == "character":
        return list(text)
    symbols = list[str]()
    for character in vocabulary.text_of(text):
        symbols += [character, *[""] * (len(character.encode("utf-8", "surrogateescape")) - 1)]
    return symbols


class _Layer:
    """Adds up what happens in a layer, and keeps the first characters of stream 0."""

    def __init__(self, cell: str, shown: int) -> None:
        self._gates, self._keeps, self._shown = GATES[cell], KEEPS[cell], shown
        self._pieces: dict[str, list[np.ndarray]] = {}
        self._closed: dict[str, Any] = dict.fromkeys(self._gates, 0)  # sums `[H]`
        self._open: dict[str, Any] = dict.fromkeys(self._gates, 0)
        self._kept: Any = 0.0
        self._characters = 0

    def add(self, inside: Inside, counts: np.ndarray, warm_up: int) -> None:
        """The next characters `[n, B, H]`; which of them count, `[n, B]`, and how many of the first do not."""
        for name, values in inside._asdict().items():
            kept = self._pieces.setdefault(name, [])
            piece = values[warm_up:, 0][: self._shown - sum(map(len, kept))]
            kept.append(piece.copy())  # not a view: the rest of the block may go
        for gate in self._gates:
            values = getattr(inside, gate)[counts]
            self._closed[gate] += (values < CLOSED).sum(0)
            self._open[gate] += (values > OPEN).sum(0)
        if self._keeps:
            self._kept += getattr(inside, self._keeps)[counts].sum(0, dtype=np.float64)
        self._characters += int(counts.sum())

    def result(self) -> LayerGates:
        """What there was.

        Raises:
            RunError: it is not finite.
        """
        names = [*self._gates, *(name for name in self._pieces if name not in self._gates)]
        arrays = {name: np.concatenate(self._pieces[name]) for name in names}
        if not all(np.isfinite(array).all() for array in (*arrays.values(), self._kept)):
            raise RunError("there are no gates to see: the model's weights are not finite", "train it again")
        with np.errstate(divide="ignore"):  # of a gate that is always 0, or always 1
            constants = 1 / np.abs(np.log(self._kept / self._characters)) if self._keeps else None
        closed, is_open = (
            {gate: sums[gate] / self._characters for gate in self._gates} for sums in (self._closed, self._open)
        )
        return LayerGates(arrays, closed, is_open, constants)
