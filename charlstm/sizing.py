"""Closing what the user left open: sizes, rates and regularisation that fit the text, the time and the machine."""

import time
from dataclasses import dataclass

from charlstm.config import ModelConfig, Precision, TrainingConfig, Wishes
from charlstm.errors import ConfigError

DEFAULT_MINUTES = 3.0
_WARMUP = 100
_BATCH, _WINDOW = 64, 64


@dataclass(frozen=True)
class Fit:
    """A complete configuration, and in a few lines what was chosen and why."""

    model: ModelConfig
    training: TrainingConfig
    notes: list[str]


def fit(wishes: Wishes, characters: int, vocabulary_size: int, devices: int, based_on: ModelConfig | None) -> Fit:
    """Settings for a training part of `characters` and a machine of `devices`.

    `based_on` is the model whose weights the run starts from: its shape is given.
    """
    notes: list[str] = []
    minutes = wishes.minutes
    if wishes.steps is None and wishes.epochs is None and minutes is None:
        minutes = DEFAULT_MINUTES
    model = _fit_model(wishes, characters, vocabulary_size, minutes, based_on)
    batch_size, sequence_length = _fit_windows(wishes, characters - 1, devices, notes)
    steps = wishes.steps
    if wishes.epochs is not None:
        steps = max(1, round(wishes.epochs * (characters - 1) / (batch_size * sequence_length)))
    precision = wishes.precision
    if precision == "auto":
        precision = fastest_precision(max(1, batch_size // devices), model.hidden_size)
    training = TrainingConfig(
        batch_size=batch_size,
        sequence_length=sequence_length,
        optimizer=wishes.optimizer,
        learning_rate=wishes.learning_rate or 4e-3 * min(1.0, (512 / model.hidden_size) ** 0.5),
        weight_decay=0.1 if wishes.weight_decay is None else wishes.weight_decay,
        clip=wishes.clip,
        warmup=min(_WARMUP, max(1, steps // 10)) if steps else _WARMUP,
        steps=steps,
        minutes=minutes,
        validation=wishes.validation,
        patience=wishes.patience,
        precision=precision,
        seed=wishes.seed,
        sample_every=wishes.sample_every,
    )
    return Fit(model, training, notes)


def _fit_model(
    wishes: Wishes, characters: int, vocabulary_size: int, minutes: float | None, based_on: ModelConfig | None
) -> ModelConfig:
    if based_on:
        for name in ("cell", "layers", "hidden_size", "embedding_size"):
            wish, given = getattr(wishes, name), getattr(based_on, name)
            if wish not in (None, given):
                raise ConfigError(
                    f"--{name.replace('_', '-')} is {wish}, but the run to start from has {given}",
                    "leave the flag out: the shape comes with the weights",
                )
        dropout = based_on.dropout if wishes.dropout is None else wishes.dropout
        return ModelConfig(
            vocabulary_size,
            based_on.layers,
            based_on.hidden_size,
            based_on.embedding_size,
            dropout,
            based_on.cell,
        )
    layers = wishes.layers or 1
    hidden_size = wishes.hidden_size or (256 if characters < 50_000 else 512)
    embedding_size = wishes.embedding_size or min(hidden_size, 128)
    dropout = wishes.dropout
    if dropout is None:
        dropout = 0.1 if characters > 10_000_000 else 0.3 if characters > 500_000 else 0.5
    return ModelConfig(vocabulary_size, layers, hidden_size, embedding_size, dropout, wishes.cell)


def _fit_windows(wishes: Wishes, pairs: int, devices: int, notes: list[str]) -> tuple[int, int]:
    """Streams and window such that a step reads at most a quarter of the text (or the whole, if asked for)."""
    batch_size = wishes.batch_size or -(-_BATCH // devices) * devices
    sequence_length = wishes.sequence_length or _WINDOW
    asked = batch_size, sequence_length
    open_ends = wishes.batch_size is None or wishes.sequence_length is None
    room = max(1, pairs // 4 if open_ends else pairs)
    while batch_size * sequence_length > room:
        if sequence_length > batch_size:
            sequence_length = -(-sequence_length // 2)
        elif batch_size > 1:
            batch_size = -(-batch_size // 2)
        else:
            break
    if (batch_size, sequence_length) != asked:
        notes.append(
            f"the text is short: {batch_size} streams of {sequence_length} characters "
            f"instead of {asked[0]} of {asked[1]}"
        )
    return batch_size, sequence_length


def fastest_precision(streams: int, hidden_size: int) -> Precision:
    """float32, or bfloat16 where its recurrent product was measured to be at least a tenth faster on this machine."""
    import jax
    import jax.numpy as jnp

    from charlstm.lstm import product

    def seconds(precision: Precision) -> float:
        @jax.jit
        def chain(h, kernel):
            return jax.lax.fori_loop(0, 8, lambda _, h: product(h, kernel, jnp.dtype(precision))[:, :hidden_size], h)

        h, kernel = jnp.ones((streams, hidden_size)), jnp.ones((hidden_size, 4 * hidden_size)) / hidden_size
        chain(h, kernel).block_until_ready()
        best = float("inf")
        for _ in range(7):
            began = time.perf_counter()
            chain(h, kernel).block_until_ready()
            best = min(best, time.perf_counter() - began)
        return best

    return "bfloat16" if seconds("bfloat16") < 0.9 * seconds("float32") else "float32"
