"""The jitted training steps, and what makes them one after the other.

K: steps that one dispatch can hold.  T: characters of a window.  B: streams.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.model.dropout import drop_weights, dropout_masks
from charlstm.model.loss import cross_entropy
from charlstm.model.members import Params, of_one
from charlstm.model.network import States, zero_states
from charlstm.model.parameters import abstract_model, initial_parameters
from charlstm.runtime.hosts import ALONE, Hosts, silent_stdout
from charlstm.runtime.mesh import (
    MEMBERS,
    STREAMS,
    gather,
    make_mesh,
    own_copy,
    own_streams,
    pmean_tree,
    relaid,
    replicate,
    shard_streams,
)
from charlstm.text.batches import Windows
from charlstm.training.collected import Collected
from charlstm.training.decisions import Gather, GoBack, Steps
from charlstm.training.optimizer import Schedule, make_optimizer
from charlstm.training.parts import accumulate, scan_in_chunks

MAX_STEPS = 32  # K
_DISPATCH_SECONDS = 0.25  # work handed to the device at once: little enough for the display and for Ctrl-C


class Results(NamedTuple):
    """What some steps come to: the loss of each, `[K]`, the norm of the last gradient before clipping, and how many of
    them were clipped, and were skipped because loss or gradient was not finite: these count for nothing else."""

    losses: Array
    gradient_norm: Array
    clipped: Array
    skipped: Array

    @classmethod
    def none(cls) -> "Results":
        """Of no steps."""
        return cls(jnp.zeros(MAX_STEPS), jnp.float32(0), jnp.int32(0), jnp.int32(0))


class TrainState(NamedTuple):
    """All arrays that change from step to step; of several members, each has them along a leading axis.

    The `momentum` is that of outer steps, with `average_every`: process 0 has it, and the devices do not.
    """

    params: nnx.State
    optimizer: optax.OptState
    states: States
    step: Array
    momentum: Array | None = None


def initial_state(model: ModelConfig, config: TrainingConfig, params: Params | None = None) -> TrainState:
    """The state before the first step, with fresh parameters if none are given."""
    if model.members > 1:
        given = params if isinstance(params, tuple) else [params] * model.members
        each = zip(member_seeds(model, config), given, strict=True)
        states = (initial_state(of_one(model), replace(config, seed=seed), own) for seed, own in each)
        return jax.tree.map(lambda *parts: jnp.stack(parts), *states)
    assert not isinstance(params, tuple)
    params = initial_parameters(model, config.seed) if params is None else params
    optimizer = jax.jit(make_optimizer(config, model.gates).init)(params)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    momentum = jnp.zeros(size) if config.average_every else None
    return TrainState(params, optimizer, zero_states(model, config.batch_size), jnp.int32(0), momentum)


def member_seeds(model: ModelConfig, config: TrainingConfig) -> list[int]:
    """Of each member: that of the run and the next ones."""
    return [(config.seed + member) % 2**32 for member in range(model.members)]


def shard_state(mesh: Mesh, state: TrainState) -> TrainState:
    """Put a state on the devices: recurrent states by stream, all else on each; members where they are trained."""
    if mesh.is_multi_process:
        state = replicate(mesh, state)
        return state._replace(states=relaid(mesh, state.states, P(STREAMS)))
    if MEMBERS in mesh.axis_names:
        placed = [NamedSharding(mesh, spec if mesh.size > 1 else P()) for spec in _MEMBER_SPECS]
        return TrainState(*map(jax.device_put, state, placed))
    params, optimizer, step = replicate(mesh, (state.params, state.optimizer, state.step))
    return TrainState(params, optimizer, shard_streams(mesh, state.states), step)


_SPECS = P(), P(), P(STREAMS), P()  # of the fields of a state
_MEMBER_SPECS = P(MEMBERS), P(MEMBERS), P(MEMBERS, STREAMS), P(MEMBERS)


def make_steps(model: ModelConfig, config: TrainingConfig, mesh: Mesh, first: int = 0) -> Callable:
    """Compile-ready `steps(state, inputs, targets, rates, count) -> (state, results)`.

    `inputs` and `targets` are `[K, T, B]`, `rates` `[K]`; the first `count` of them are used. One dispatch makes many
    steps, so that Python's time hides behind the device's and freed memory is used again by the next step. How steps
    are divided into dispatches changes nothing about the result.

    A step whose loss or gradient is not finite changes nothing but the step's number.

    Several members make their steps one after the other, where they share a device: results are `[members, ...]`.
    The streams are numbered from `first` on, for their random numbers.
    """
    definition, _ = abstract_model(model)
    optimizer = make_optimizer(config, model.gates)
    precision = jnp.dtype(config.precision)
    keys = [jax.random.key(seed) for seed in member_seeds(model, config)]

    def loss_of(params, states, inputs, targets, streams, step, key):
        step_key = jax.random.fold_in(key, step)
        masks = dropout_masks(step_key, streams, model)
        params = drop_weights(jax.random.fold_in(step_key, model.layers), params, model)
        network = nnx.merge(definition, params)

        def nats_of(states, window):
            inputs, targets = window
            logits, states = network(inputs, states, masks, precision)
            return states, cross_entropy(logits, targets, model.rare)

        states, nats = scan_in_chunks(nats_of, states, (inputs, targets), config.chunk_length)
        return nats.mean(), states

    def one_step(key, k, state: TrainState, results: Results, inputs, targets, rate) -> tuple[TrainState, Results]:
        gradient_of = accumulate(jax.value_and_grad(partial(loss_of, key=key), has_aux=True), config.accumulate)
        streams = first + own_streams(inputs.shape[1])
        (loss, states), gradient = gradient_of(state.params, state.states, inputs, targets, streams, state.step)
        gradient, loss = pmean_tree((gradient, loss))
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = jax.tree.map(lambda p, u: p + rate * u, state.params, updates)
        norm = optax.tree.norm(gradient)
        is_finite = jnp.isfinite(loss + norm)

        def if_finite(new, old):
            return jax.tree.map(partial(jnp.where, is_finite), new, old)

        params, optimizer_state, states = if_finite(
            (params, optimizer_state, states), (state.params, state.optimizer, state.states)
        )
        results = Results(
            results.losses.at[k].set(if_finite(loss, 0.0)),
            if_finite(norm, results.gradient_norm),
            results.clipped + (is_finite & (norm > config.clip)),
            results.skipped + ~is_finite,
        )
        return TrainState(params, optimizer_state, states, state.step + 1), results

    def train_one(key, state, inputs, targets, rates, count):
        def body(k, carry):
            state, results = carry
            return one_step(key, k, state, results, inputs[k], targets[k], rates[k])

        return jax.lax.fori_loop(0, count, body, (state, Results.none()))

    specs, results_spec = (_SPECS, P()) if model.members == 1 else (_MEMBER_SPECS, P(MEMBERS))
    state_spec = TrainState(*specs)  # pyright: ignore[reportArgumentType]
    ids_spec = P(None, None, STREAMS)

    @partial(jax.jit, donate_argnums=0)
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(state_spec, ids_spec, ids_spec, P(), P()),
        out_specs=(state_spec, results_spec),
        check_vma=False,
    )
    def steps(state, inputs, targets, rates, count):
        if model.members == 1:
            return train_one(keys[0], state, inputs, targets, rates, count)
        here = state.step.shape[0]
        own_keys = jax.lax.dynamic_slice_in_dim(jnp.stack(keys), jax.lax.axis_index(MEMBERS) * here, here)
        return jax.lax.map(lambda own: train_one(own[0], own[1], inputs, targets, rates, count), (own_keys, state))

    return steps


class Stepper:
    """Makes steps without waiting for them: while the device computes one dispatch, the next one is prepared."""

    def __init__(
        self,
        model: ModelConfig,
        config: TrainingConfig,
        windows: Windows,
        state: TrainState,
        hosts: Hosts = ALONE,
    ) -> None:
        self.windows, self._hosts, self._members = windows, hosts, model.members
        self.mesh = make_mesh(config.streams_at_once, processes=hosts.processes, members=model.members)
        first = windows.own.start if windows.own and not self.mesh.is_multi_process else 0
        self._steps = make_steps(model, config, self.mesh, first)
        self._place(state)
        if self.mesh.is_multi_process:
            self._compile()

    def go_on_from(self, state: TrainState) -> None:
        """Put a state on the devices; what was under way is forgotten."""
        self._hosts.tell(GoBack())
        self._place(state)

    def _place(self, state: TrainState) -> None:
        self._hosts.meet()
        with self._hosts.together(), silent_stdout() if self.mesh.is_multi_process else nullcontext():
            self.state = shard_state(self.mesh, state)
            self._hosts.ready(self.state)
        self._pending: deque[tuple[int, Results]] = deque()
        self._seconds_per_step = math.inf  # so the first dispatch is a single step
        self.reset_timer()

    def _compile(self) -> None:
        """Compile the steps before anybody waits in one for another process: Gloo gives up after 30 seconds."""
        self.start(Steps(0, []))
        self._pending.clear()
        self._hosts.meet()

    def dispatch(self, step: int, limit: int, schedule: Schedule) -> int:
        """Start at most `limit` steps, without waiting for them; returns how many."""
        count = max(1, min(limit, MAX_STEPS, int(_DISPATCH_SECONDS / self._seconds_per_step)))
        steps = Steps(step, schedule.rates(step, count, count).tolist())
        self._hosts.tell(steps)
        self.start(steps)
        return count

    def start(self, steps: Steps) -> None:
        """Start these steps, without waiting for them."""
        count, rates = len(steps.rates), np.zeros(MAX_STEPS, np.float32)
        rates[:count] = steps.rates
        windows = self.windows.windows(steps.step, count, MAX_STEPS)
        with self._hosts.together():
            inputs, targets = (shard_streams(self.mesh, ids, 2) for ids in windows)
            self.state, results = self._steps(self.state, inputs, targets, rates, count)
        self._pending.append((count, results))

    @property
    def params(self) -> nnx.State:
        """The parameters, on devices of this process."""
        return own_copy(self.state.params)

    def whole_state(self) -> TrainState:
        """The state as arrays of this process, with the recurrent states of all streams."""
        if not self.mesh.is_multi_process:
            return self.state
        self._hosts.tell(Gather())
        with self._hosts.together():
            states = gather(self.mesh, self.state.states)
            self._hosts.ready(states)
        return own_copy(self.state._replace(states=states))

    def collect(self, under_way: int) -> Collected:
        """Wait until at most `under_way` dispatches are, and return what came in."""
        done = Collected()
        while len(self._pending) > under_way:
            count, results = self._pending.popleft()
            self._hosts.ready(results)
            skipped = int(results.skipped.sum())
            made = count * self._members
            norm = float(results.gradient_norm.mean())
            # In double precision the sum is exact, and so the same however steps are divided into dispatches.
            loss = float(np.asarray(results.losses, np.float64).sum())
            done = done.then(Collected(loss, made - skipped, norm, int(results.clipped.sum()), skipped))
            now = time.perf_counter()
            self._seconds_per_step = max(1e-6, (now - self._last) / count)
            self._last = now
        return done

    def average(self) -> Collected:
        """Nothing: gradients are averaged in each step."""
        return Collected()

    def reset_timer(self) -> None:
        """Time that passed since the last dispatch was not the device's."""
        self._last = time.perf_counter()
