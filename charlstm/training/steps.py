"""The jitted training steps, and what makes them one after the other.

K: steps that one dispatch can hold.  T: characters of a window.  B: streams.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.model.dropout import drop_weights, dropout_masks
from charlstm.model.loss import cross_entropy
from charlstm.model.network import States, zero_states
from charlstm.model.parameters import abstract_model, initial_parameters
from charlstm.runtime.mesh import STREAMS, make_mesh, own_streams, pmean_tree, replicate, shard_streams
from charlstm.text.batches import Windows
from charlstm.training.optimizer import Schedule, make_optimizer

MAX_STEPS = 32  # K
_DISPATCH_SECONDS = 0.25  # work handed to the device at once: little enough for the display and for Ctrl-C


class TrainState(NamedTuple):
    """All arrays that change from step to step."""

    params: nnx.State
    optimizer: optax.OptState
    states: States
    step: Array


def initial_state(model: ModelConfig, config: TrainingConfig, params: nnx.State | None = None) -> TrainState:
    """The state before the first step, with fresh parameters if none are given."""
    params = initial_parameters(model, config.seed) if params is None else params
    optimizer = jax.jit(make_optimizer(config).init)(params)
    return TrainState(params, optimizer, zero_states(model, config.batch_size), jnp.int32(0))


def shard_state(mesh: Mesh, state: TrainState) -> TrainState:
    """Put a state on the devices: recurrent states by stream, all else on each."""
    params, optimizer, step = replicate(mesh, (state.params, state.optimizer, state.step))
    return TrainState(params, optimizer, shard_streams(mesh, state.states), step)


def make_steps(model: ModelConfig, config: TrainingConfig, mesh: Mesh) -> Callable:
    """Compile-ready `steps(state, inputs, targets, rates, count) -> (state, loss_sum, gradient_norm)`.

    `inputs` and `targets` are `[K, T, B]`, `rates` `[K]`; the first `count` of them are used. One dispatch makes many
    steps, so that Python's time hides behind the device's and freed memory is used again by the next step. How steps
    are divided into dispatches changes nothing about the result.
    """
    definition, _ = abstract_model(model)
    optimizer = make_optimizer(config)
    precision = jnp.dtype(config.precision)
    key = jax.random.key(config.seed)

    def loss_of(params, states, inputs, targets, step):
        step_key = jax.random.fold_in(key, step)
        masks = dropout_masks(step_key, own_streams(inputs.shape[1]), model)
        params = drop_weights(jax.random.fold_in(step_key, model.layers), params, model)
        logits, states = nnx.merge(definition, params)(inputs, states, masks, precision)
        return cross_entropy(logits, targets, model.rare).mean(), states

    def one_step(state: TrainState, inputs, targets, rate) -> tuple[TrainState, Array, Array]:
        (loss, states), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            state.params, state.states, inputs, targets, state.step
        )
        gradient, loss = pmean_tree((gradient, loss))
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = jax.tree.map(lambda p, u: p + rate * u, state.params, updates)
        return TrainState(params, optimizer_state, states, state.step + 1), loss, optax.tree.norm(gradient)

    state_spec = TrainState(P(), P(), P(STREAMS), P())  # pyright: ignore[reportArgumentType]
    ids_spec = P(None, None, STREAMS)

    @partial(jax.jit, donate_argnums=0)
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(state_spec, ids_spec, ids_spec, P(), P()),
        out_specs=(state_spec, P(), P()),
        check_vma=False,
    )
    def steps(state, inputs, targets, rates, count):
        def body(k, carry):
            state, loss_sum, _ = carry
            state, loss, norm = one_step(state, inputs[k], targets[k], rates[k])
            return state, loss_sum + loss, norm

        return jax.lax.fori_loop(0, count, body, (state, jnp.float32(0), jnp.float32(0)))

    return steps


class Stepper:
    """Makes steps without waiting for them: while the device computes one dispatch, the next one is prepared."""

    def __init__(self, model: ModelConfig, config: TrainingConfig, windows: Windows, state: TrainState) -> None:
        self.windows = windows
        self.mesh = make_mesh(config.batch_size)
        self.state = shard_state(self.mesh, state)
        self.gradient_norm = 0.0
        self._steps = make_steps(model, config, self.mesh)
        self._pending: deque[tuple[int, Array, Array]] = deque()
        self._seconds_per_step = math.inf  # so the first dispatch is a single step
        self._last = time.perf_counter()

    def dispatch(self, step: int, limit: int, schedule: Schedule) -> int:
        """Start at most `limit` steps, without waiting for them; returns how many."""
        count = max(1, min(limit, MAX_STEPS, int(_DISPATCH_SECONDS / self._seconds_per_step)))
        inputs, targets = (shard_streams(self.mesh, ids, 2) for ids in self.windows.windows(step, count, MAX_STEPS))
        rates = schedule.rates(step, count, MAX_STEPS)
        self.state, loss_sum, norm = self._steps(self.state, inputs, targets, rates, count)
        self._pending.append((count, loss_sum, norm))
        return count

    def collect(self, under_way: int) -> tuple[float, int]:
        """Wait until at most `under_way` dispatches are; returns the sum of the losses that came in, and how many."""
        losses, steps = 0.0, 0
        while len(self._pending) > under_way:
            count, loss_sum, norm = self._pending.popleft()
            losses += float(loss_sum)
            self.gradient_norm = float(norm)
            steps += count
            now = time.perf_counter()
            self._seconds_per_step = max(1e-6, (now - self._last) / count)
            self._last = now
        return losses, steps

    def reset_timer(self) -> None:
        """Time that passed since the last dispatch was not the device's."""
        self._last = time.perf_counter()
