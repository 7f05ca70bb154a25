"""The loss: nats of each target, with the gradient written out.

T: time steps.  B: streams.  R: rows of the head.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Integer


def cross_entropy(logits: Float[Array, "T B R"], targets: Integer[Array, "T B"], rare: int = 0) -> Float[Array, "T B"]:
    """Nats of each target under softmax(logits), where the last logit is that of the `rare` symbols together."""
    if not rare:
        return _cross_entropy(logits, targets)
    last = logits.shape[-1] - 1
    return _cross_entropy(logits, jnp.minimum(targets, last)) + jnp.where(targets < last, 0.0, math.log(rare))


def entropy(logits: Float[Array, "T B R"], rare: int = 0) -> Float[Array, "T B"]:
    """Nats that a target drawn from softmax(logits) would cost on the average; the last logit may be of `rare` symbols.

    The entropy of the rows, and the choice among the rare ones: that of a mixture of parts which share nothing.
    """
    logs = jax.nn.log_softmax(logits)
    of_rows = -(jnp.exp(logs) * logs).sum(-1)
    return of_rows + jnp.exp(logs[..., -1]) * math.log(rare) if rare else of_rows


@jax.custom_vjp
def _cross_entropy(logits: Array, targets: Array) -> Array:
    """Its gradient, softmax - one_hot, needs no gather."""
    return _cross_entropy_forward(logits, targets)[0]


def _cross_entropy_forward(logits: Array, targets: Array):
    shifted = logits - logits.max(-1, keepdims=True)
    exponentials = jax.lax.optimization_barrier(jnp.exp(shifted))
    total = jax.lax.optimization_barrier(exponentials.sum(-1))
    at_target = (shifted * jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype)).sum(-1)
    return jnp.log(total) - at_target, (exponentials, total, targets)


def _cross_entropy_backward(residuals: tuple[Array, Array, Array], d_nats: Array) -> tuple[Array, None]:
    exponentials, total, targets = residuals
    hot = jax.nn.one_hot(targets, exponentials.shape[-1], dtype=exponentials.dtype)
    return (exponentials * (d_nats / total)[..., None]) - hot * d_nats[..., None], None


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)
