"""The gradient flow of a trained model beside that of other runs, and of the three cells before any training.

N: characters of a window.  B: windows.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from flax import nnx

from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, CorpusError, setting
from charlstm.files import atomic_write, user_path
from charlstm.inspection.flow import WARM_UP, Flow, measure_flow
from charlstm.inspection.passage import open_passage
from charlstm.model.parameters import from_tensors, initial_parameters, to_tensors
from charlstm.options import Cell, InspectOptions
from charlstm.runs.weights import Weights, load_weights

LAGS = 128
_WINDOWS = 32
_MEASURED = 256  # characters of each window, at least, in which growth is measured


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """Gradient flow in several models: first the one that is asked for; `where` says of which text."""

    flows: list[Flow]
    where: str

    def arrays(self) -> dict[str, np.ndarray]:
        """The logarithm of each norm `[K, B]`, such as `models.0.layers.0.cell`, and the models' names."""
        curves = {
            f"models.{number}.layers.{curve.layer - 1}.{curve.part}": curve.logs
            for number, flow in enumerate(self.flows)
            for curve in flow.curves
        }
        return {"models": np.array([f"{flow.name}: {flow.model.cell}" for flow in self.flows]), **curves}

    def save(self, path: Path) -> None:
        """Save `arrays`, as NumPy's `load` reads them.

        Raises:
            StorageError: the file cannot be written.
        """
        with atomic_write(path) as file:
            np.savez_compressed(file, allow_pickle=False, **self.arrays())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; norms are natural logarithms, as they may be smaller than any number."""
        return {"text": self.where, "models": [_to_dict(flow) for flow in self.flows]}


def _to_dict(flow: Flow) -> dict[str, Any]:
    curves = [
        {
            "layer": curve.layer,
            "part": curve.part,
            "lag_of_1/e": curve.decay(1 / math.e),
            "lag_of_1/100": curve.decay(0.01),
            "log_norm": curve.mean.tolist(),
            "log_norm_lower_quartile": curve.quantile(0.25).tolist(),
            "log_norm_upper_quartile": curve.quantile(0.75).tolist(),
        }
        for curve in flow.curves
    ]
    shape = {"layers": flow.model.layers, "hidden_size": flow.model.hidden_size}
    growth = {"nats_per_character": flow.growth, "standard_error": flow.growth_error, "characters": flow.characters}
    named = {"name": flow.name, "cell": flow.model.cell, **shape, "windows": flow.windows}
    return {**named, "growth": growth, "curves": curves}


def gradient_flow(weights: Weights, options: InspectOptions) -> GradientFlow:
    """Measure how gradients flow in a model, in each cell of its size at initialisation, and in runs beside it.

    Losses are those of 32 characters, evenly spread over the text; a text too short for that has fewer, and its lags
    may be fewer than what is asked for.

    Raises:
        ConfigError: there is no such layer, or a run beside is unknown; else as `open_passage`.
        CorpusError: the text cannot be read, or has fewer than three characters.
        RunError: a run beside cannot be loaded, or its weights are not finite.
    """
    weights, lags = weights.member(0), options.lags or LAGS
    others = [(path, load_weights(user_path(path)).member(0)) for path in options.runs_beside]
    for name, each in [("the run", weights), *others]:
        if options.layer and options.layer > each.model.layers:
            raise ConfigError(f"{setting('layer')} is {options.layer}, but {name} has {each.model.layers}")
    windows, where = _windows(weights, options, lags)
    flows = [measure_flow("this run", weights.model, weights.networks[0], windows, lags)]
    for cell in get_args(Cell):
        model = dataclasses.replace(weights.model, cell=cell)
        params = untrained(model, weights.config.training.seed)
        flows.append(measure_flow("at initialisation", model, params, windows, lags))
    for name, each in others:
        flows.append(measure_flow(name, each.model, each.networks[0], _windows(each, options, lags)[0], lags))
    if options.layer:
        flows = [flow.of_layer(options.layer) for flow in flows]
    return GradientFlow(flows, where)


def untrained(model: ModelConfig, seed: int) -> nnx.State:
    """Parameters at initialisation, but for the head: it starts at zero, where no gradient would come from."""
    tensors = to_tensors(initial_parameters(model, seed))
    kernel = tensors["head_kernel"]
    tensors["head_kernel"] = jax.random.normal(jax.random.key(seed), kernel.shape) * model.hidden_size**-0.5
    return from_tensors(model, tensors, "fresh parameters")


def _windows(weights: Weights, options: InspectOptions, lags: int) -> tuple[np.ndarray, str]:
    """Windows `[N, B]` of the text that `options` name, all of a length, and where they are from."""
    wanted = WARM_UP + max(lags, _MEASURED) + 1
    passage = open_passage(weights, options, _WINDOWS * wanted, _WINDOWS)
    # One piece is a text too short for all windows; and of some pieces unknown characters may have been left out.
    length = min(wanted, int(np.median([len(piece) for piece in passage.pieces])))
    if length < 3:
        raise CorpusError(f"{passage.where} are too few to see how gradients flow", "give three characters or more")
    return np.stack([*_cut(passage.pieces, length)], 1).astype(np.int32), passage.where


def _cut(pieces: list[np.ndarray], length: int) -> Iterator[np.ndarray]:
    for piece in pieces:
        for start in range(0, len(piece) - length + 1, length):
            yield piece[start : start + length]
