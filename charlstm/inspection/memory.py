"""How far each cell remembers: small networks of the three cells, trained on texts with a known long dependency.

All have about the same number of parameters, read the same texts for the same time, and are trained by the steps and
the optimizer of `train`. Distances grow while they learn (a curriculum: Bengio et al. 2009), for what is far is learned
from what is near: in a minute of texts with all distances at once an LSTM learned brackets, but neither copying nor
agreement. Windows are shorter than most distances. Gradients do not reach beyond them, but the state does: what is
measured is how far a network carries what it has learned to keep.

L: characters of a text.  S: texts that are read in parallel.  V: vocabulary.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.inspection.tasks import TASKS, Question, make_text
from charlstm.model.network import zero_states
from charlstm.model.parameters import abstract_model, count_parameters
from charlstm.options import Cell, MemoryOptions, TrainOptions
from charlstm.text.batches import Windows
from charlstm.training.clock import Clock
from charlstm.training.machine import Machine
from charlstm.training.optimizer import Schedule
from charlstm.training.plan import resolve
from charlstm.training.steps import Stepper, initial_state

CELLS: tuple[Cell, ...] = get_args(Cell)
LIMITS = (16, 32, 64, 128, 256, 512)  # distances up to each of them, from above the one before, are taken together
_UNITS = 128  # of the LSTM; the others have as many parameters
_STREAMS, _WINDOW = 16, 64
# Without gates the rate of `train` is too high: near brackets 25% right, at this one 99%, at 0.0015 93%.
_RATES: dict[Cell, float] = {"rnn": 0.004}
_TEXT = 500_000  # characters of each stage of the curriculum; what is read in a minute is a few times as much
_TEXTS, _LENGTH = 64, 6_144  # S, L: held out
_BLOCK = 256

Scores = Callable[[np.ndarray], np.ndarray]  # ids [L, S] -> for each place the score of each symbol, [L, S, V]


@dataclass(frozen=True)
class Answers:
    """How many of `count` characters of so many `examples`, decided up to `limit` characters before, were right."""

    limit: int
    right: int
    count: int
    examples: int

    @property
    def accuracy(self) -> float:
        """The share of right ones, NaN of none."""
        return self.right / self.count if self.count else math.nan

    @property
    def standard_error(self) -> float:
        """That of a share of examples: who knows one letter of several may know the others, too."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.examples) if self.examples else math.nan


@dataclass(frozen=True)
class Recall:
    """What a network knows of one task, by distance; `chance` is the share that guessing gets right."""

    task: str
    about: str
    chance: float
    answers: list[Answers]

    @property
    def reach(self) -> int:
        """Up to which distance it is right more than half way between chance and always; 0 if at none."""
        reach = 0
        for each in self.answers:
            if not each.accuracy > (1 + self.chance) / 2:
                break
            reach = each.limit
        return reach


@dataclass(frozen=True)
class Trial:
    """A network that was trained for `seconds` in so many `steps` that read `characters`, and what it remembers."""

    cell: Cell
    units: int
    parameters: int
    seconds: float
    steps: int
    characters: int
    recalls: list[Recall]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = dataclasses.asdict(self)
        for own, recall in zip(self.recalls, plain["recalls"], strict=True):
            recall["reach"] = own.reach
            for each, answers in zip(own.answers, recall["answers"], strict=True):
                answers.update(accuracy=each.accuracy, standard_error=each.standard_error)
        return plain


def trials(options: MemoryOptions) -> Iterator[Trial]:
    """Train a network of each cell, and ask it, one after the other."""
    on_progress = options.on_progress or (lambda what, done, total: None)
    seconds = 60 * options.minutes
    on_progress("making texts", 0, 0)
    numbers = Random(options.seed)
    held_out = [make_text(numbers, _LENGTH) for _ in range(_TEXTS)]
    curriculum = [make_text(numbers, _TEXT, limit)[0] for limit in LIMITS]
    alphabet = sorted(set("".join(curriculum)))
    texts = [_encode(text, alphabet) for text in curriculum]
    for number, cell in enumerate(CELLS, 1):
        what = f"training {cell.upper()}, {number} of {len(CELLS)}"
        model, training = _settings(cell, len(alphabet), options.seed)
        stepper, steps, taken = _train(model, training, texts, seconds, partial(on_progress, what))
        scores = partial(_network_scores, model, jax.device_get(stepper.state.params))
        yield Trial(
            cell, model.hidden_size, count_parameters(model), taken, steps,
            steps * training.batch_size * training.sequence_length, ask(held_out, alphabet, scores),
        )  # fmt: skip


def _settings(cell: Cell, symbols: int, seed: int) -> tuple[ModelConfig, TrainingConfig]:
    """A layer of the cell with about the parameters of the LSTM; what is not given is as `train` chooses it."""

    def plan(cell: Cell, units: int):
        options = TrainOptions(
            cell=cell, layers=1, hidden_size=units, embedding_size=32, dropout=0.0, weight_drop=0.0, seed=seed,
            batch_size=_STREAMS, sequence_length=_WINDOW, steps=10**6, precision="float32",
            learning_rate=_RATES.get(cell),
        )  # fmt: skip
        chosen = resolve(options, _TEXT, symbols, devices=jax.local_device_count(), machine=Machine("float32", 1.0))
        return chosen.model, chosen.training

    wanted, units = count_parameters(plan("lstm", _UNITS)[0]), _UNITS
    while count_parameters(plan(cell, units)[0]) < wanted:
        units += 4
    return plan(cell, units)


def _train(
    model: ModelConfig,
    training: TrainingConfig,
    texts: list[np.ndarray],
    seconds: float,
    tell: Callable[[int, int], None],
) -> tuple[Stepper, int, float]:
    """Train on one text after the other, for twice as long on the last; how many steps were made, in how many seconds.

    Compiling is not counted.
    """
    windows = [Windows(ids, training.batch_size, training.sequence_length) for ids in texts]
    stepper = Stepper(model, training, windows[0], initial_state(model, training))
    schedule = Schedule(training.learning_rate, training.warmup)
    tell(0, 0)
    step = stepper.dispatch(0, 1, schedule)
    stepper.collect(0)
    clock = Clock(0.0, seconds)
    while step < (schedule.total or training.steps):
        elapsed = clock.elapsed()
        tell(min(1000, round(1000 * elapsed / seconds)), 1000)
        stepper.windows = windows[min(len(windows) - 1, int(elapsed / seconds * (len(windows) + 1)))]
        if clock.estimate_due:
            stepper.collect(0)
            if total := clock.steps_in_budget(step):
                schedule = schedule.replan(step, total)
        step += stepper.dispatch(step, (schedule.total or training.steps) - step, schedule)
        stepper.collect(1)
    stepper.collect(0)
    return stepper, step, clock.elapsed()


def ask(texts: list[tuple[str, list[Question]]], alphabet: list[str], scores: Scores) -> list[Recall]:
    """Put the questions of texts, all of a length, to whoever scores symbols: the best of the choices is the answer."""
    found = scores(np.stack([_encode(text, alphabet) for text, _ in texts], 1))
    tally = np.zeros((len(TASKS), len(LIMITS), 3), int)  # right, count, examples
    for number, (text, questions) in enumerate(texts):
        for question in questions:
            choices = TASKS[question.task].choices
            columns = [alphabet.index(choice) for choice in choices]
            answers = [choices[int(found[place, number, columns].argmax())] for place in question.places]
            right = sum(answer == text[place] for answer, place in zip(answers, question.places, strict=True))
            tally[question.task, np.searchsorted(LIMITS, question.distance)] += right, len(answers), 1
    return [
        Recall(
            task.name,
            task.about,
            task.chance,
            [Answers(limit, *own) for limit, own in zip(LIMITS, of_task, strict=True)],
        )
        for task, of_task in zip(TASKS, tally.tolist(), strict=True)
    ]


def _network_scores(model: ModelConfig, params: nnx.State, ids: np.ndarray) -> np.ndarray:
    """The logits of a network for each place of texts `[L, S]`, before it has read what is there."""
    definition, _ = abstract_model(model)
    read = jax.jit(lambda params, ids, states: nnx.merge(definition, params)(ids, states))
    states, blocks = zero_states(model, ids.shape[1]), [np.zeros((1, ids.shape[1], model.rows), np.float32)]
    for start in range(0, len(ids), _BLOCK):
        logits, states = read(params, jnp.asarray(ids[start : start + _BLOCK]), states)
        blocks.append(np.asarray(logits))
    return np.concatenate(blocks)[:-1]


def _encode(text: str, alphabet: list[str]) -> np.ndarray:
    """A text as ids `[N]`."""
    numbers = {symbol: number for number, symbol in enumerate(alphabet)}
    return np.array([numbers[symbol] for symbol in text], np.uint8)
