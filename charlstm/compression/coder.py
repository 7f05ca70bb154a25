"""Symbols <-> bits: arithmetic coding with a model's probabilities.

A range coder (Martin 1979; constriction's, with probabilities of 24 bits) takes -log2 p bits for a symbol of the
probability p, and 4 bytes in all beside that. The symbols of all streams go through one coder, a time step after the
other.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from charlstm.compression.walk import walk
from charlstm.errors import ConfigError
from charlstm.runs.weights import Weights

# A stream begins cold, which costs some 15 bits, and a character of prose takes two: 0.1%.
_SYMBOLS_OF_A_STREAM = 8192
_MAX_STREAMS = 128
_RATES = (0.0, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)  # of learning
_TRIAL = 20_000  # symbols, but at most a quarter of the text, from which the rate is chosen

OnCoded = Callable[[int], None]  # told how many symbols are done


def streams_for(count: int, is_dynamic: bool) -> int:
    """As many streams as cost little; a power of 2, so that few programs have to be compiled.

    Of fewer streams weights learn more: they do it more often.
    """
    most = _MAX_STREAMS // 8 if is_dynamic else _MAX_STREAMS
    wanted = count // (_SYMBOLS_OF_A_STREAM * (4 if is_dynamic else 1))
    return 1 << max(1, min(most, wanted)).bit_length() - 1


def best_rate(weights: Weights, ids: np.ndarray, streams: int, on_tried: Callable[[int, int], None]) -> float:
    """The rate at which weights learn best at the beginning of each stream; 0 if they had better not.

    `on_tried` is told how many symbols were coded, and of how many.

    Raises:
        ConfigError: constriction is missing.
    """
    trial, sizes = min(_TRIAL, len(ids) // 4), dict[float, int]()
    for number, rate in enumerate(_RATES):

        def on_coded(done: int, before: int = number * trial) -> None:
            on_tried(before + done, len(_RATES) * trial)

        sizes[rate] = len(encode(weights, ids, streams, rate, on_coded, trial))
    return min(_RATES, key=sizes.__getitem__)


def encode(
    weights: Weights, ids: np.ndarray, streams: int, rate: float, on_coded: OnCoded, limit: int | None = None
) -> bytes:
    """The bits of the symbols `ids`, or of about `limit` of them, as whole words of 4 bytes.

    Raises:
        ConfigError: constriction is missing.
    """
    queue, family = _constriction()
    length = -(-len(ids) // streams)
    encoder, ids = queue.RangeEncoder(), ids.astype(np.int32)

    def exchange(time: int, probabilities: np.ndarray) -> np.ndarray:
        targets = np.ascontiguousarray(ids[time::length])
        encoder.encode(targets, family, probabilities)
        return targets

    for done in walk(weights, len(ids), streams, rate, exchange):
        on_coded(done)
        if limit is not None and done >= limit:
            break
    return encoder.get_compressed().astype("<u4").tobytes()


def decode(weights: Weights, code: bytes, count: int, streams: int, rate: float, on_coded: OnCoded) -> np.ndarray:
    """The inverse of `encode`: `count` symbols, int32.

    Raises:
        ConfigError: constriction is missing.
        ValueError: no symbols have this code.
    """
    queue, family = _constriction()
    decoder = queue.RangeDecoder(np.frombuffer(code, "<u4").astype(np.uint32))
    steps: list[np.ndarray] = []

    def exchange(time: int, probabilities: np.ndarray) -> np.ndarray:
        try:
            steps.append(decoder.decode(family, probabilities))
        except AssertionError as error:  # so it is with constriction
            raise ValueError(str(error)) from error
        return steps[-1]

    for done in walk(weights, count, streams, rate, exchange):
        on_coded(done)
    padded = np.zeros((len(steps), streams), np.int32)
    for time, each in enumerate(steps):
        padded[time, : len(each)] = each
    return padded.T.reshape(-1)[:count]


def _constriction() -> tuple[Any, Any]:
    """The module with the coders, and the kind of distribution."""
    try:
        stream = importlib.import_module("constriction").stream
    except ImportError as error:
        raise ConfigError(
            "compression needs constriction", "install it with `pip install 'charlstm[compress]'`"
        ) from error
    return stream.queue, stream.model.Categorical(perfect=False)
