"""Gradient flow: how much of a loss reaches the states before it, and how a small change of a state goes on.

The state that a network carries is all that it knows of the past: for each layer a hidden state h and, in an LSTM, a
cell state c. d loss(t) / d h(t-k) and d loss(t) / d c(t-k) are the gradients of one character's loss with respect to
the state that was carried on from k characters before. They go back step by step through the Jacobians of the whole
state, and through the same Jacobians a small change of the state goes forward: its mean growth per character is the
largest Lyapunov exponent (Vogt et al. 2022; Engelken, Wolf & Abbott 2023). Where it is below 0, gradients vanish; where
it is above, they explode.

All norms are logarithms, and vectors are brought to length 1 after each step: 1e-60 is a norm like any other.

N: characters of a window.  B: windows, each with a state of its own.  K: lags.  H: hidden size.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.loss import cross_entropy
from charlstm.model.network import zero_states
from charlstm.model.parameters import abstract_model

WARM_UP = 256  # characters in which a state becomes that of its text, and a change turns to where it grows fastest
_AT_ONCE = 2**25  # numbers of states that are kept, 128 MiB: more windows are measured one group after the other


@dataclass(frozen=True, eq=False)
class Curve:
    """The norm of a gradient by lag in each window: `logs` `[K, B]`, natural logarithms for the lags 1 to K.

    `part` of the state of a layer, counted from 1, is "hidden" or "cell". "carousel" is what the direct path alone
    leaves, without detours through gates and other units: the product of the forget gates, or of a GRU's update gates
    (the constant error carousel, Hochreiter & Schmidhuber 1997), as its root mean square over units.
    """

    layer: int
    part: str
    logs: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The logarithm of the geometric mean over windows, `[K]`."""
        return self.logs.mean(1)

    @property
    def relative(self) -> np.ndarray:
        """The same beside that at lag 1; -inf where there is no gradient at all."""
        return self.mean - self.mean[0] if math.isfinite(self.mean[0]) else self.mean

    def quantile(self, share: float) -> np.ndarray:
        """The logarithm of a quantile over windows, `[K]`."""
        # One of the windows' own: between a number and the -inf of a norm that is 0 there is none.
        return np.quantile(self.logs, share, axis=1, method="inverted_cdf")

    def decay(self, share: float) -> int | None:
        """The first lag at which no more than `share` of the norm at lag 1 is left; None if it is beyond K."""
        is_below = self.relative <= math.log(share)
        return int(is_below.argmax()) + 1 if is_below.any() and math.isfinite(self.mean[0]) else None


@dataclass(frozen=True, eq=False)
class Flow:
    """How gradients flow through a model.

    `growth` is the mean growth of a small change of the state in nats per character, over so many `characters` of so
    many `windows`, and `growth_error` its standard error over windows, NaN for a single one.
    """

    name: str
    model: ModelConfig
    growth: float
    growth_error: float
    windows: int
    characters: int
    curves: list[Curve]

    def of_layer(self, layer: int) -> "Flow":
        """The same with the curves of a single layer."""
        return replace(self, curves=[curve for curve in self.curves if curve.layer == layer])


def measure_flow(name: str, model: ModelConfig, params: nnx.State, windows: np.ndarray, lags: int) -> Flow:
    """The gradient flow of a model in `windows` `[N, B]`, pieces of a text; the loss is that of the last id.

    N is 3 or more. The first characters are warm-up: 256, or half of them; gradients go back over `lags`, or over all
    of the others.

    Raises:
        RunError: the weights are not finite.
    """
    warm_up = min(WARM_UP, len(windows) // 2)
    lags = min(lags, len(windows) - 1 - warm_up)
    state_size = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: zero_states(model, 1))))
    at_once = max(1, _AT_ONCE // (lags * state_size))
    flow = _make_flow(model.for_inference(), lags)
    starts = range(0, windows.shape[1], at_once)
    groups = [jax.device_get(flow(params, windows[:, start : start + at_once])) for start in starts]
    growth, gradients, carousels = jax.tree.map(lambda *parts: np.concatenate(parts, -1, dtype=np.float64), *groups)
    if any(np.isnan(logs).any() for logs in jax.tree.leaves((growth, gradients))):
        raise RunError(f"{name}: its numbers are not finite", "the weights are of a training that went wrong")
    curves = [
        Curve(layer, part, logs)
        for layer, (state, carousel) in enumerate(zip(gradients, carousels, strict=True), 1)
        for part, logs in (state._asdict() | carousel).items()
    ]
    growth = growth[warm_up:]
    rates = growth.mean(0)
    with np.errstate(invalid="ignore"):  # minus infinity has no error: a state that forgets all at once
        error = rates.std(ddof=1) / math.sqrt(len(rates)) if len(rates) > 1 else math.nan
    return Flow(name, model, float(rates.mean()), float(error), len(rates), growth.size, curves)


@lru_cache(maxsize=8)
def _make_flow(model: ModelConfig, lags: int):
    """Compile-ready `flow(params, ids [N, B]) -> (growth [N - 1, B], gradients, carousels)`, all of them logarithms.

    `gradients` is the states of all layers with norms `[K, B]` in place of arrays; `carousels` has a dict for each
    layer, empty where there is no direct path.
    """
    definition, _ = abstract_model(model)

    @jax.jit
    def flow(params, ids):
        network, zeros = nnx.merge(definition, params), zero_states(model, ids.shape[1])
        inputs, targets = ids[:-1], ids[-1]

        def step(states, ids):
            logits, insides = network.step_inside(ids, states, None)
            return (tuple(inside.state for inside in insides), logits), insides

        def follow(carry, ids):
            """Read a character, and take a small change of the state along."""
            states, change = carry
            states, change = jax.jvp(lambda states: step(states, ids)[0][0], (states,), (change,))
            change, growth = _normalised(change)
            return (states, change), growth

        def follow_and_keep(carry, ids):
            after, growth = follow(carry, ids)
            return after, (growth, carry[0])

        def go_back(carry, at):
            """From the gradient of what a step results in to that of the state before it."""
            results_gradient, log_length, log_kept = carry
            states, ids = at
            _, pull, insides = jax.vjp(partial(step, ids=ids), states, has_aux=True)
            (gradient,) = pull(results_gradient)
            norms = jax.tree.map(lambda part: log_length + jnp.log(_lengths(part)), gradient)
            gradient, growth = _normalised(gradient)
            log_kept = jax.tree.map(lambda kept, gate: kept + jnp.log(gate), log_kept, _direct_paths(insides))
            shares = jax.tree.map(
                lambda kept: (jax.nn.logsumexp(2 * kept, -1) - math.log(kept.shape[-1])) / 2, log_kept
            )
            return ((gradient, no_logits), log_length + growth, log_kept), (norms, shares)

        # The same change in each window, so that these can be measured in any groups.
        noise = jax.random.normal(jax.random.key(0), (1, model.hidden_size))
        change, _ = _normalised(jax.tree.map(lambda part: jnp.broadcast_to(noise, part.shape), zeros))
        carry, before = jax.lax.scan(follow, (zeros, change), inputs[:-lags])
        _, (growth, states) = jax.lax.scan(follow_and_keep, carry, inputs[-lags:])
        last = jax.tree.map(lambda part: part[-1], states)
        (_, logits), insides = step(last, inputs[-1])
        of_logits = jax.grad(lambda logits: cross_entropy(logits[None], targets[None]).sum())(logits)
        no_logits = jnp.zeros_like(logits)
        log_kept = jax.tree.map(jnp.zeros_like, _direct_paths(insides))
        carry = (zeros, of_logits), jnp.zeros(len(targets)), log_kept
        _, (norms, shares) = jax.lax.scan(go_back, carry, (states, inputs[-lags:]), reverse=True)
        by_lag = jax.tree.map(lambda logs: logs[::-1], (norms, shares))
        return jnp.concatenate([before, growth]), *by_lag

    return flow


def _direct_paths(insides: Any) -> list[dict[str, Array]]:
    """For each layer the gate by which a unit of the cell, or of a GRU's hidden state, is kept; none in a plain RNN."""
    gates = [getattr(inside, "forget", getattr(inside, "update", None)) for inside in insides]
    return [{} if gate is None else {"carousel": gate} for gate in gates]


def _lengths(tree: Any) -> Float[Array, " B"]:
    """The Euclidean length of each stream's vector, whose parts may be several arrays `[B, H]`."""
    return jnp.sqrt(sum((part * part).sum(-1) for part in jax.tree.leaves(tree)))


def _normalised(tree: Any) -> tuple[Any, Float[Array, " B"]]:
    """Vectors of length 1 in the same directions, and the logarithms of their lengths; a vector of zeros stays one."""
    lengths = _lengths(tree)
    divisors = jnp.where(lengths > 0, lengths, 1.0)[:, None]
    return jax.tree.map(lambda part: part / divisors, tree), jnp.log(lengths)
