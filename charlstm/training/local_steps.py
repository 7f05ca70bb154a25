"""Local steps: each process trains on its streams alone for a while, then all average what has come of it.

Between two averagings the processes have nothing to tell each other, so that a slow network costs little; and one that
is lost is missed by nobody, but for its streams. Steps, averagings and saves are decided by process 0 as ever.

P: parameters.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.model.network import States, zero_states
from charlstm.runtime.hosts import Hosts
from charlstm.runtime.mesh import replicate
from charlstm.text.batches import Windows
from charlstm.training.averaging import outer_step
from charlstm.training.collected import Collected
from charlstm.training.decisions import Average, Gather, Steps
from charlstm.training.steps import Stepper, TrainState


def make_stepper(
    model: ModelConfig, config: TrainingConfig, windows: Windows, state: TrainState, hosts: Hosts
) -> Stepper:
    """What makes the steps of one of the processes, as the settings have it."""
    kind = LocalStepper if config.average_every else Stepper
    return kind(model, config, windows, state, hosts)


class _Apart(Hosts):
    """A process that computes alone and, if it is process 0, tells all `hosts` what to do."""

    def __init__(self, hosts: Hosts) -> None:
        self.tell = hosts.tell


class LocalStepper(Stepper):
    """Makes the steps of one of several processes, on its own devices and streams.

    All begin with the parameters and the optimizer's state of process 0, and have the same parameters again after each
    averaging; the optimizer's state stays with each. Random numbers are those of the streams, as if all were read
    together.
    """

    def __init__(
        self, model: ModelConfig, config: TrainingConfig, windows: Windows, state: TrainState, hosts: Hosts
    ) -> None:
        self._all, share = hosts, config.batch_size // hosts.processes
        self._zeros = zero_states(model, share)
        super().__init__(model, replace(config, batch_size=share), windows, state, _Apart(hosts))

    def _place(self, state: TrainState) -> None:
        """Put the state of process 0 on the devices of each, with its own streams'."""
        hosts, common = self._all, state._replace(states=(), momentum=None)
        hosts.begin_round()
        if hosts.leads:
            hosts.give("state", _pack(common))
            states, *others = self._shared(state.states)
            for number, own in enumerate(others, 1):
                hosts.give(f"states/{number}", _pack(own))
        else:
            common = _unpack(hosts.take("state"), common)
            states = _unpack(hosts.take(f"states/{hosts.process}"), self._zeros)
        super()._place(common._replace(states=states))
        self._anchor = _flat(self.state.params)
        self._momentum = np.zeros_like(self._anchor) if state.momentum is None else np.asarray(state.momentum)
        self._has_moved, self._since = False, Collected()

    def _shared(self, states: States) -> list[States]:
        """Those of the streams of each process."""
        parts = jax.tree.map(lambda leaf: np.split(np.asarray(leaf), self._all.processes), states)
        return [
            jax.tree.map(lambda _, each, number=number: each[number], states, parts)
            for number in range(self._all.processes)
        ]

    def start(self, steps: Steps) -> None:
        self._has_moved = True
        super().start(steps)

    def collect(self, under_way: int) -> Collected:
        """Nothing as yet: what came of the steps of all processes is known once they average."""
        self._since = self._since.then(super().collect(under_way))
        return Collected()

    def average(self) -> Collected:
        """Average the parameters of all processes, if there were steps; returns what came of these, in all.

        Nothing is gained by averaging early, but weights that are the same in all.
        """
        if not self._has_moved:
            return Collected()
        hosts = self._all
        hosts.tell(Average())
        hosts.begin_round()
        self.collect(0)
        made = self._since
        move = self._anchor - _flat(self.state.params)
        if hosts.leads:
            others = list[Collected]()

            def moves() -> Iterator[np.ndarray]:
                yield move
                for given in self._from_others("move", (np.zeros(len(made)), move)):
                    if given:
                        loss, steps, norm, clipped, skipped = given[0].tolist()
                        others.append(Collected(loss, int(steps), norm, int(clipped), int(skipped)))
                        yield given[1]

            self._anchor, self._momentum = outer_step(self._anchor, self._momentum, moves())
            made = made.beside(others)
            hosts.forget()
            hosts.give("anchor", _pack(self._anchor))
        else:
            hosts.give(f"move/{hosts.process}", _pack((np.array(made, np.float64), move)))
            self._anchor = _unpack(hosts.take("anchor"), self._anchor)
        params = _unpack(_pack(self._anchor), self.state.params)
        self.state = self.state._replace(params=replicate(self.mesh, params))
        self._has_moved, self._since = False, Collected()
        self.reset_timer()
        return made

    def whole_state(self) -> TrainState:
        """The state of process 0, with the recurrent states of all streams; zeros for those that nobody reads."""
        hosts = self._all
        hosts.tell(Gather())
        hosts.begin_round()
        if not hosts.leads:
            hosts.give(f"states/{hosts.process}", _pack(self.state.states))
            return self.state
        others = [given or self._zeros for given in self._from_others("states", self._zeros)]
        hosts.forget()
        states = jax.tree.map(lambda *each: np.concatenate([*map(np.asarray, each)]), self.state.states, *others)
        return self.state._replace(states=states, momentum=self._momentum)

    def _from_others(self, name: str, like: Any) -> Iterator[Any]:
        """What each of the others gives process 0, a tree like `like`; None of one that is left out."""
        for number in range(1, self._all.processes):
            given = self._all.take(f"{name}/{number}", number)
            yield None if given is None else _unpack(given, like)


def _flat(params: Any) -> np.ndarray:
    """Parameters as one array `[P]`, a copy."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params)])


def _pack(tree: Any) -> bytes:
    """The numbers of all arrays of a tree, one after the other."""
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))


def _unpack(data: bytes | None, like: Any) -> Any:
    """The inverse of `_pack`, for a tree like `like`."""
    assert data is not None  # process 0 is not left out
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.nbytes for leaf in leaves]).tolist()
    starts = [0, *ends]
    found = (
        np.frombuffer(data[start:end], leaf.dtype).reshape(leaf.shape)
        for start, end, leaf in zip(starts, ends, leaves, strict=False)
    )
    return jax.tree.unflatten(structure, found)
