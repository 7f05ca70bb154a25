"""Members: networks of one shape that learned alone, from other seeds, and predict together.

What they say together is the mean of their probabilities, (p_1 + ... + p_K) / K. Each is right in places where others
are not, and the loss of the mean is never above the mean of the losses (Jensen's inequality). A mean of logits does
less well (RESULTS.md).

A model of one member has parameters and states as its network has them, of several a tuple of those of each.

S: streams.  T: time steps.  V: vocabulary.  R: rows of the head.  G: gates side by side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.model.cells import State
from charlstm.model.network import CharRNN, States
from charlstm.model.network import zero_states as zero_states_of_one
from charlstm.model.parameters import abstract_model, fit_tensors, to_tensors

Params = nnx.State[Any, Any] | tuple[nnx.State[Any, Any], ...]


class AverageRNN:
    """Members as one network: called as each is, with a tuple of their states, it tells log p for logits."""

    def __init__(self, networks: Sequence[CharRNN]) -> None:
        self._networks = networks

    def __call__(
        self, ids: Integer[Array, "T S"], states: tuple[States, ...]
    ) -> tuple[Float[Array, "T S R"], tuple[States, ...]]:
        """log p of the next symbol at every place."""
        found = [network(ids, own) for network, own in zip(self._networks, states, strict=True)]
        return mean_log_p([logits for logits, _ in found]), tuple(own for _, own in found)

    def step(
        self,
        ids: Integer[Array, " S"],
        states: tuple[States, ...],
        gate_tables: tuple[Float[Array, "R G"], ...] | None,
    ) -> tuple[Float[Array, "S V"], tuple[States, ...]]:
        """The same for a single time step."""
        tables = gate_tables or [None] * len(states)
        each = zip(self._networks, states, tables, strict=True)
        found = [network.step(ids, own, table) for network, own, table in each]
        return mean_log_p([logits for logits, _ in found]), tuple(own for _, own in found)

    def gate_table(self) -> tuple[Float[Array, "R G"], ...]:
        """Those of all members."""
        return tuple(network.gate_table() for network in self._networks)


def mean_log_p(logits: Sequence[Float[Array, "*N V"]]) -> Float[Array, "*N V"]:
    """The logarithm of the mean of the probabilities softmax(`logits`)."""
    return jax.nn.logsumexp(jnp.stack([jax.nn.log_softmax(each) for each in logits]), axis=0) - math.log(len(logits))


def merge(definition: nnx.GraphDef[CharRNN], params: Params) -> Any:
    """The network of `params` or, of several members, what they are together."""
    if isinstance(params, tuple):
        return AverageRNN([nnx.merge(definition, each) for each in params])
    return nnx.merge(definition, params)


def zero_states(config: ModelConfig, batch_size: int) -> Any:
    """The states of `merge` before the first character."""
    if config.members == 1:
        return zero_states_of_one(config, batch_size)
    return tuple(zero_states_of_one(config, batch_size) for _ in range(config.members))


def split(config: ModelConfig, params: nnx.State) -> Params:
    """Parameters that were trained side by side, where they are several along a leading axis, as those of a model."""
    if config.members == 1:
        return params
    params = jax.device_get(params)  # they may be on a device each
    return tuple(jax.tree.map(lambda leaf, k=k: leaf[k], params) for k in range(config.members))


def of_one(config: ModelConfig) -> ModelConfig:
    """The shape of one member."""
    return replace(config, members=1)


def abstract_params(config: ModelConfig) -> Params:
    """The shapes of all parameters."""
    shapes = abstract_model(config)[1]
    return shapes if config.members == 1 else (shapes,) * config.members


def name_tensors(params: Params) -> dict[str, Any]:
    """Parameters by name: `layers.0.bias` or, of several members, `members.1.layers.0.bias`."""
    if isinstance(params, tuple):
        return {_prefix(k) + name: leaf for k, each in enumerate(params) for name, leaf in to_tensors(each).items()}
    return to_tensors(params)


def params_from(config: ModelConfig, tensors: Mapping[str, Any], where: str) -> Params:
    """The inverse of `name_tensors`.

    Raises:
        RunError: a tensor is missing, unknown, or of another shape or type; `where` names the file.
    """
    shapes = abstract_params(config)
    return jax.tree.unflatten(jax.tree.structure(shapes), fit_tensors(name_tensors(shapes), tensors, where))


def name_states(states: Any) -> dict[str, Array]:
    """States by name: `layers.0.hidden` or, of several members, `members.1.layers.0.hidden`."""
    if isinstance(states[0], State):
        return {f"layers.{n}.{name}": part for n, one in enumerate(states) for name, part in one._asdict().items()}
    return {_prefix(k) + name: part for k, each in enumerate(states) for name, part in name_states(each).items()}


def _prefix(member: int) -> str:
    return f"members.{member}."
