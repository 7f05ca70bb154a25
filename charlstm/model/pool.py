"""The network and the counts beside it, pooled: one distribution from what three models say.

A network that learned for some minutes does not know all that counts of the same text know, and learns slowly what it
lacks: rare words, letter by letter. So its probabilities are pooled with those of n-grams and of words (counts.py),
half linearly and half logarithmically (Genest & Zidek 1986, "Combining Probability Distributions"; Klakow 1998,
"Log-linear interpolation of language models"). A product gains where all three agree, and loses where one is wrong:

    p(w) = (sum_i a_i p_i(w)) / 2 + (prod_i p_i(w)^b_i / Z) / 2         p = p_network, q_M, q_word

The weights are a = softmax(0, z_1, z_2): counts weigh more the less sure the network is, and the fewer symbols were
counted after h, the last M symbols or the word so far. The powers go by the word so far alone.

    z = bias - slope log2(1 + symbols after h) + doubt sqrt(entropy of p_network) + log trust
    b = (bias + slope log2(1 + symbols after the word)) / trust + (1 - 1 / trust) (0, 0.65, 0.35)

The entropy is over rows, of which rare symbols share one, in equal parts. The network learns without counts: one that
is trained through the pool leaves to them what it would otherwise learn (RESULTS.md).

S: streams.  T: time steps.  R: rows of the head.  V: vocabulary.  L: contexts that are looked up.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.model.counts import RECENT, Counts, Found, Table, distributions, look_up
from charlstm.model.members import AverageRNN, zero_states
from charlstm.model.network import CharRNN

# Of n-grams, and of the word so far: the bias, the slope, what stands for it where the context was never met, and the
# factor of the entropy's root. Fitted to slices of the training parts of three texts (RESULTS.md).
_Z = np.array([[-2.31, 0.61, 1.02, 1.45], [1.61, 2.43, 3.65, 1.76]], np.float32)
# Of the network, n-grams and the word so far: the bias, the slope, and the power where the word was never met, fitted
# in the same way; and what the powers become where the network is not trusted at all.
_B = np.array([[0.37, 0.09, 0.41], [0.16, 0.01, 0.13], [0.47, -0.12, 0.34]], np.float32)
_B_UNTRUSTED = np.array([0.0, 0.65, 0.35], np.float32)
_LEAST = 1e-9  # of q in a product: that of eight rests may be 0 in float32


class Reading(NamedTuple):
    """The state of a network with counts beside it: its own, and the last ids, each + 1, and 0 where there is none."""

    states: Any
    recent: Integer[Array, "S {RECENT}"]


def weights_of(found: Found, entropy: Float[Array, " N"], trust: Float[Table, ""]) -> Float[Array, "N 3"]:
    """How much the network weighs in the sum, n-grams, and the word so far; `entropy` is the network's."""
    bias, slope, unknown, doubt = _Z.T[:, None]
    sizes = found.sizes[:, -2:].astype(jnp.float32)
    z = bias - jnp.where(sizes > 0, slope * jnp.log2(1 + sizes), unknown) + doubt * jnp.sqrt(entropy)[:, None]
    return jax.nn.softmax(jnp.pad(z + jnp.log(trust), ((0, 0), (1, 0))))


def powers_of(found: Found, trust: Float[Table, ""]) -> Float[Array, "N 3"]:
    """The power of the network in the product, of n-grams, and of the word so far."""
    bias, slope, unknown = _B.T[:, None]
    size = found.sizes[:, -1:].astype(jnp.float32)
    trusted = jnp.where(size > 0, bias + slope * jnp.log2(1 + size), unknown)
    return trusted / trust + _B_UNTRUSTED[None] * (1 - 1 / trust)


@jax.jit
def mix(counts: Counts, logits: Float[Array, "*N V"], recent: Integer[Array, "*N {RECENT}"]) -> Float[Array, "*N V"]:
    """log p of the mixture after the `recent` ids + 1, where the network says `logits`, of V symbols or of R rows."""
    of_rows = jax.nn.log_softmax(logits)
    R = len(counts.unigram)
    if rare := logits.shape[-1] - R:  # each rare symbol has its part of their row
        of_rows = jnp.append(of_rows[..., : R - 1], jax.nn.logsumexp(of_rows[..., R - 1 :], -1, keepdims=True), -1)
    of_rows = of_rows.reshape(-1, R)
    found = look_up(counts, recent.reshape(-1, RECENT))
    entropy = -(jnp.exp(of_rows) * of_rows).sum(-1)
    parts = jnp.stack([of_rows, *(jnp.log(jnp.maximum(q, _LEAST)) for q in distributions(counts, found))], 1)
    weights, powers = weights_of(found, entropy, counts.trust), powers_of(found, counts.trust)
    added = jax.nn.logsumexp(parts + jnp.log(weights)[:, :, None], 1)
    multiplied = jax.nn.log_softmax((parts * powers[:, :, None]).sum(1))
    mixed = (jnp.logaddexp(added, multiplied) - math.log(2)).reshape(*logits.shape[:-1], R)
    if rare:
        mixed = jnp.append(mixed[..., :-1], jnp.repeat(mixed[..., -1:] - math.log(rare + 1), rare + 1, -1), -1)
    return mixed


class CountingRNN:
    """A network with counts beside it: called as it is, with a `Reading` for its states, it tells log p for logits."""

    def __init__(self, network: CharRNN | AverageRNN, counts: Counts) -> None:
        self._network, self._counts = network, counts

    def __call__(self, ids: Integer[Array, "T S"], reading: Reading) -> tuple[Float[Array, "T S R"], Reading]:
        """log p of the next symbol at every place."""
        logits, states = self._network(ids, reading.states)
        read = jnp.concatenate([reading.recent.T, ids.astype(jnp.int32) + 1])
        recent = jnp.stack([read[place : place + len(ids)] for place in range(1, RECENT + 1)], -1)
        return mix(self._counts, logits, recent), Reading(states, read[-RECENT:].T)

    def step(self, ids: Integer[Array, " S"], reading: Reading, gate_table: Any) -> tuple[Float[Array, "S V"], Reading]:
        """The same for a single time step."""
        logits, states = self._network.step(ids, reading.states, gate_table)
        recent = jnp.append(reading.recent[:, 1:], ids.astype(jnp.int32)[:, None] + 1, 1)
        return mix(self._counts, logits, recent), Reading(states, recent)


def beside(network: CharRNN | AverageRNN, counts: Counts | None) -> Any:
    """The network with its counts, or as it is where there are none."""
    return network if counts is None else CountingRNN(network, counts)


def zero_reading(config: ModelConfig, counts: Counts | None, batch_size: int) -> Any:
    """The state of `beside` before the first character."""
    states = zero_states(config, batch_size)
    return states if counts is None else Reading(states, jnp.zeros((batch_size, RECENT), jnp.int32))
