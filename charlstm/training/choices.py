"""What is chosen for a machine of known speed: sizes, rates and regularisation that fit the text and the time.

The numbers below were tuned on slices of training parts; what else was tried: tests/benchmarks/RESULTS.md.
"""

import math
from dataclasses import dataclass, replace

from charlstm.config import GATES, ModelConfig, TrainingConfig, rows
from charlstm.errors import ConfigError, setting
from charlstm.options import DEFAULT_MINUTES, Cell, Precision, TrainOptions, parse_schedule
from charlstm.schema import COUNT
from charlstm.training.machine import Machine
from charlstm.training.shapes import MAX_EPOCHS, BatchShape, choose_shape, choose_windows

_MUON_OPERATIONS = 16  # times gates hidden_size^3, each step
_WARMUP = 30
_RATES = {"muon": 16e-3, "adamw": 4e-3}  # AdamW's for 512 units
SIZES = (32, 64, 96, *range(128, 4097, 64))
# A layer is worth its size if it could read, at the measured speed, so many characters for each weight of its gates;
# and a text too short for that many weights would only be overfitted.
_MIN_READ_PER_WEIGHT = 13.0
_MAX_WEIGHTS_PER_CHARACTER = 4.5
# What the minutes are spent on besides steps: the start with its compiling, and validations, samples and saves.
_START_SECONDS = 4.0
_STEPS_SHARE = 0.93


@dataclass(frozen=True)
class Plan:
    """A complete configuration, and in a few lines what was chosen and why."""

    model: ModelConfig
    training: TrainingConfig
    notes: list[str]
    speed: float  # characters per second that were reckoned with
    seconds: float = 0.0  # that it took to measure the machine


def choose(
    options: TrainOptions,
    characters: int,
    vocabulary_size: int,
    devices: int,
    based_on: ModelConfig | None,
    rare: int,
    processes: int,
    machine: Machine,
    most_units: int,
) -> Plan:
    """Settings for a machine of known speed; of hidden units at most so many, unless they are given."""
    notes: list[str] = []
    # The time that is sized for: of a run that is given steps or epochs none is known, and the default serves.
    seconds = 60 * (options.minutes or DEFAULT_MINUTES)
    speed = machine.speed / options.members  # of each
    operations = speed * _STEPS_SHARE * max(seconds - _START_SECONDS, seconds / 2)
    outputs = rows(vocabulary_size, rare)
    cell = options.cell or (based_on.cell if based_on else "lstm")
    gates = GATES[cell]
    hidden_size = options.hidden_size or (
        based_on.hidden_size if based_on else _choose_hidden_size(operations, characters, outputs, gates, most_units)
    )
    layers = options.layers or (based_on.layers if based_on else 1)
    weights = weights_used(layers, hidden_size, outputs, gates)
    of_muon = _MUON_OPERATIONS * gates * hidden_size**3 if options.optimizer == "muon" else 0

    def operations_each(shape: BatchShape) -> float:  # character
        return 6 * weights / shape.efficiency + of_muon / (shape.streams * shape.window)

    def readable(shape: BatchShape) -> float:
        return operations / operations_each(shape)

    shape = choose_shape(readable, characters)
    epochs = options.epochs or min(MAX_EPOCHS, readable(shape) / (characters - 1))
    batch_size, window = choose_windows(options, shape, characters - 1, devices, outputs, notes, processes)
    if options.accumulate and batch_size != options.batch_size:
        batch_size = options.accumulate * max(1, batch_size // options.accumulate)
    lengths = parse_schedule(options.schedule)
    steps = lengths[-1][1] if lengths else options.steps
    if steps is None:
        longest = options.epochs or MAX_EPOCHS
        steps = max(1, math.ceil(longest * (characters - 1) / (batch_size * window)))
        if options.epochs and steps > COUNT.high:
            most = COUNT.high * batch_size * window / (characters - 1)
            raise ConfigError(
                f"{setting('epochs')} is {options.epochs:g}, but must be at most {most:.3g} for this text",
                f"more are more steps than can be counted; {setting('minutes')} may be any number",
            )
        steps = min(steps, int(COUNT.high))
    else:
        epochs = steps * batch_size * window / (characters - 1)
    speed /= operations_each(shape)
    chances = gates * hidden_size**2 * epochs / (characters - 1)  # to learn the text by heart
    model = replace(_choose_model(options, cell, vocabulary_size, layers, hidden_size, chances, based_on), rare=rare)
    if options.hidden_size is None and not based_on:
        often = f"{epochs:.2g}" if epochs < 100 else f"{epochs:.0f}"
        notes.append(
            f"{hidden_size} units and dropout {model.dropout:g}, because this machine, at about {speed:,.0f} "
            f"characters/s in {machine.precision}, will read the text about {often} times"
            + (f" with each of {options.members} members" if options.members > 1 else "")
        )
    return Plan(
        model,
        _choose_training(options, batch_size, window, steps, lengths, hidden_size, machine.precision),
        notes,
        speed,
    )


def weights_used(layers: int, hidden_size: int, outputs: int, gates: int = 4) -> int:
    """Weights that each character is multiplied by, two operations forward and four back; without what is looked up."""
    return gates * (2 * layers - 1) * hidden_size**2 + hidden_size * outputs


def _choose_hidden_size(operations: float, characters: int, outputs: int, gates: int, most: int) -> int:
    """The most units of one layer, up to `most`, for which there is time enough and text enough."""

    def is_worth(units: int) -> bool:
        recurrent = gates * units**2
        readable = operations / (6 * weights_used(1, units, outputs, gates))
        is_learned = readable >= _MIN_READ_PER_WEIGHT * recurrent
        return units <= most and is_learned and _MAX_WEIGHTS_PER_CHARACTER * characters >= recurrent

    return max(filter(is_worth, SIZES), default=SIZES[0])


def _choose_model(
    options: TrainOptions,
    cell: Cell,
    vocabulary_size: int,
    layers: int,
    hidden_size: int,
    chances: float,
    based_on: ModelConfig | None,
) -> ModelConfig:
    # Many weights that read a text many times learn it by heart: the dropout rate goes by the recurrent weights of a
    # layer for each character, times the epochs; 0.07 for each doubling, and 0.05 of weights that are dropped.
    doublings = math.log2(max(chances, 1.0))
    dropout = _in_twentieths(0.07 * doublings - 0.03, 0.6)
    weight_drop = _in_twentieths(0.05 * doublings - 0.1, 0.3)
    if options.dropout is not None:
        dropout = options.dropout
    embedding_size = options.embedding_size or (based_on.embedding_size if based_on else min(hidden_size, 128))
    if options.weight_drop is not None:
        weight_drop = options.weight_drop
    model = ModelConfig(
        cell=cell,
        vocabulary_size=vocabulary_size,
        layers=layers,
        hidden_size=hidden_size,
        embedding_size=embedding_size,
        dropout=dropout,
        weight_drop=weight_drop,
        members=options.members,
    )
    for name in ("cell", "layers", "hidden_size", "embedding_size") if based_on else ():
        asked, given = getattr(model, name), getattr(based_on, name)
        if asked != given:
            raise ConfigError(
                f"{setting(name)} is {asked}, but the run to start from has {given}",
                "leave it out: the shape comes with the weights",
            )
    if based_on and based_on.members not in (1, options.members):
        raise ConfigError(
            f"{setting('members')} is {options.members}, but the run to start from has {based_on.members}",
            "give as many: each goes on from its own weights",
        )
    return model


def _in_twentieths(share: float, maximum: float) -> float:
    """`share` between 0 and `maximum`, as a multiple of 0.05 that prints well."""
    return round(20 * min(maximum, max(0.0, share))) / 20


def _choose_training(
    options: TrainOptions,
    batch_size: int,
    window: int,
    steps: int,
    lengths: list[list[int]],
    hidden_size: int,
    precision: Precision,
) -> TrainingConfig:
    rate = _RATES[options.optimizer] * (1.0 if options.optimizer == "muon" else min(1.0, (512 / hidden_size) ** 0.5))
    planned = lengths[0][1] if lengths else steps  # a run that is repeated was planned for its first length
    return TrainingConfig(
        batch_size=batch_size,
        sequence_length=window,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate or rate,
        weight_decay=options.weight_decay,
        clip=options.clip,
        warmup=min(_WARMUP, max(1, planned // 10)),
        steps=steps,
        minutes=(options.minutes or DEFAULT_MINUTES) if is_timed(options) else None,
        validation=options.validation,
        patience=options.patience,
        precision=precision,
        seed=options.seed,
        sample_every=options.sample_every,
        network_alone=options.network_alone,
        schedule=lengths,
        accumulate=options.accumulate or 1,
        chunk_length=options.chunk_length,
        average_every=options.average_every,
    )


def is_timed(options: TrainOptions) -> bool:
    """Whether the run is given time, not work."""
    return options.steps is options.epochs is options.schedule is None
