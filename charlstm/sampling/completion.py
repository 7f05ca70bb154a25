"""The most probable continuations of a text, up to the end of a word or of a line.

The probability of a continuation is that of its symbols, times that of an end behind it. Each further symbol makes it
smaller, so that an open hypothesis bounds all that can come of it. A beam search finds good continuations; best-first
search then goes on with those hypotheses that could still beat the k-th of them. If there are none left, the result is
exact (Hart, Nilsson & Raphael 1968, with a heuristic of zero).

V: vocabulary.  B: hypotheses that are expanded at a time.  K: continuations of a hypothesis that are kept.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.counts import RECENT
from charlstm.model.members import merge, zero_states
from charlstm.model.parameters import abstract_model
from charlstm.model.pool import mix
from charlstm.options import To
from charlstm.runs.weights import Weights
from charlstm.sampling.prompt import PromptState, make_table, predicted
from charlstm.sampling.words import DONE, WITH, transitions

BATCH = 16  # 1x512 on two cores: 0.7 ms, where one hypothesis takes 0.35 and 64 take 1.5
_MAX_CHILDREN = 256  # K
_MAX_LENGTH = 256  # symbols of a continuation


@dataclass(frozen=True)
class Completion:
    """A continuation, and how probable it is that the text goes on with just this word or line."""

    text: str
    probability: float


class Completions(list[Completion]):
    """The most probable first; `exact` says that no other can be more probable than one of them."""

    exact: bool = False


@dataclass(eq=False)
class _Hypothesis:
    """The beginning of a continuation. Its open children are sorted, and the first `taken` of them have been expanded.

    `rest` bounds those children that are too many to be kept.
    """

    ids: tuple[int, ...]
    states: list[np.ndarray]  # the leaves of its states, [H] each
    children: np.ndarray = field(repr=False)  # ids, [K]
    logs: np.ndarray = field(repr=False)  # logarithms of their probabilities, [K]
    phases: np.ndarray = field(repr=False)
    rest: float
    taken: int = 0

    @property
    def bound(self) -> float:
        """The logarithm of the probability of the best child that is not expanded."""
        return float(self.logs[self.taken]) if self.taken < len(self.logs) else self.rest

    @property
    def is_open(self) -> bool:
        """Whether it has a child that can be expanded."""
        return self.taken < len(self.logs) and len(self.ids) < _MAX_LENGTH


class Completer:
    """Completes what a model has read."""

    def __init__(self, weights: Weights) -> None:
        self._model = weights.model.for_inference()
        self._vocabulary = weights.vocabulary
        self._weights = replace(weights, counts=jax.device_put(weights.counts))
        self._params = jax.device_put(weights.params)
        self._table = make_table(self._model)(self._params)
        self._rules: dict[To, np.ndarray] = {}

    def expand(
        self, states: Sequence[Sequence[np.ndarray]], ids: Sequence[int]
    ) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """What the network says behind one more id, log-probabilities `[n, V]`, and the leaves of the states there, for
        each of n <= B.
        """
        rows = range(BATCH)
        leaves = [np.stack([states[min(row, len(ids) - 1)][leaf] for row in rows]) for leaf in range(len(states[0]))]
        padded = np.array([ids[min(row, len(ids) - 1)] for row in rows], np.int32)
        logits, after = _make_step(self._model)(self._params, self._table, padded, leaves)
        kept = [np.asarray(leaf) for leaf in after]
        return np.asarray(logits)[: len(ids)], [[leaf[row] for leaf in kept] for row in range(len(ids))]

    def complete(self, after: PromptState, to: To, top: int, expansions: int) -> Completions:
        """The `top` most probable continuations `to` an end, after the expansion of so many hypotheses at most.

        Raises:
            RunError: the model's weights are not finite.
        """
        if to not in self._rules:
            self._rules[to] = transitions(self._vocabulary, to)
        logits = np.asarray(predicted(self._weights, after)[0], np.float64)
        if np.isnan(logits).any():
            raise RunError("the model predicts nothing: its weights are not finite", "train it again")
        search = _Search(self._rules[to], top)
        logs = logits - logits.max()
        states = [np.asarray(leaf)[0] for leaf in jax.tree.leaves(after.states)]
        root = search.open((), 0.0, 0, logs - math.log(np.exp(logs).sum()), states)
        hypotheses, level = [root], [root]
        while expansions > 0:
            count = min(BATCH, expansions)
            taken = search.take(level, count)  # the beam goes on; what is left of the batch goes to the best of all
            taken += search.take(hypotheses, count - len(taken))
            if not taken:
                break
            expansions -= count  # a batch that is not full takes as long
            following = [int(parent.children[place]) for parent, place in taken]
            logs, states = self.expand([parent.states for parent, _ in taken], following)
            logs = self._with_counts(
                logs, after, [(*parent.ids, last) for (parent, _), last in zip(taken, following, strict=True)]
            )
            level = [
                search.open(
                    (*parent.ids, int(parent.children[place])), float(parent.logs[place]), int(parent.phases[place]),
                    row.astype(np.float64), state,
                )
                for (parent, place), row, state in zip(taken, logs, states, strict=True)
            ]  # fmt: skip
            hypotheses = [each for each in hypotheses + level if each.bound > search.least]
        found = Completions(
            Completion(self._vocabulary.text_of(self._vocabulary.decode(np.array(ids, int))), math.exp(log))
            for log, ids in search.found()
        )
        found.exact = not any(each.bound > search.least for each in hypotheses)
        return found

    def _with_counts(self, logs: np.ndarray, after: PromptState, read: Sequence[tuple[int, ...]]) -> np.ndarray:
        """What the mixture with counts says behind `after` and the ids that were `read`, as the network says `logs`."""
        counts = self._weights.counts
        if counts is None:
            return logs
        recent = [np.append(after.recent, ids).astype(np.int32)[-RECENT:] + 1 for ids in read]
        padding = ((0, BATCH - len(logs)), (0, 0))
        return np.asarray(mix(counts, np.pad(logs, padding), np.pad(recent, padding)))[: len(logs)]


class _Search:
    """What is found so far, and which hypotheses may lead to more."""

    def __init__(self, rules: np.ndarray, top: int) -> None:
        self._rules, self._top = rules, top
        self._found: list[tuple[float, tuple[int, ...]]] = []  # a heap, the least probable first

    @property
    def least(self) -> float:
        """The logarithm of the probability that a continuation must have to be among the best."""
        return self._found[0][0] if len(self._found) == self._top else -math.inf

    def found(self) -> list[tuple[float, tuple[int, ...]]]:
        """The continuations, the most probable first; equals in the order of their ids."""
        return sorted(self._found, key=lambda each: (-each[0], each[1]))

    def _add(self, log: float, ids: tuple[int, ...]) -> None:
        if log > self.least:
            (heapq.heappushpop if len(self._found) == self._top else heapq.heappush)(self._found, (log, ids))

    def open(
        self, ids: tuple[int, ...], log: float, phase: int, logs: np.ndarray, states: list[np.ndarray]
    ) -> _Hypothesis:
        """A hypothesis of probability exp(`log`), behind which symbols have `logs` `[V]`; what ends there is found."""
        rule, logs = self._rules[phase], log + logs
        if (ends := logs[rule == DONE]).size and np.isfinite(ends.max()):
            self._add(float(ends.max()) + math.log(np.exp(ends - ends.max()).sum()), ids)
        last = np.flatnonzero((rule == WITH) & (logs > self.least))
        for each in last[np.argsort(-logs[last])][: self._top]:
            self._add(float(logs[each]), (*ids, int(each)))
        children = np.flatnonzero((rule >= 0) & (logs > self.least))
        children = children[np.argsort(-logs[children], kind="stable")]
        rest = float(logs[children[_MAX_CHILDREN]]) if len(children) > _MAX_CHILDREN else -math.inf
        children = children[:_MAX_CHILDREN].copy()  # a view would keep all of them
        return _Hypothesis(ids, states, children, logs[children], rule[children], rest)

    def take(self, hypotheses: Iterable[_Hypothesis], count: int) -> list[tuple[_Hypothesis, int]]:
        """The best `count` children that could still be among the best, each with its parent; they are now taken."""
        heap = [(-each.bound, number, each) for number, each in enumerate(hypotheses) if each.is_open]
        heapq.heapify(heap)
        taken: list[tuple[_Hypothesis, int]] = []
        while heap and len(taken) < count and -heap[0][0] > self.least:
            _, number, best = heap[0]
            taken.append((best, best.taken))
            best.taken += 1
            heapq.heapreplace(heap, (-best.bound, number, best)) if best.is_open else heapq.heappop(heap)
        return taken


@lru_cache(maxsize=8)
def _make_step(model: ModelConfig):
    """Compile-ready `step(params, table, ids [B], leaves of states [B, H]) -> (log-probabilities [B, V], leaves)`."""
    definition, _ = abstract_model(model)
    structure = jax.tree.structure(zero_states(model, 1))

    @jax.jit
    def step(
        params, table: Any, ids: Integer[Array, " B"], leaves: list[Float[Array, "B H"]]
    ) -> tuple[Float[Array, "B V"], list[Float[Array, "B H"]]]:
        states = jax.tree.unflatten(structure, leaves)
        logits, states = merge(definition, params).step(ids, states, table)
        return jax.nn.log_softmax(logits), jax.tree.leaves(states)

    return step
