"""Dropout of a layer's outputs and of recurrent weights: one mask for a whole window.

B: streams.  H: hidden size.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.model.parameters import from_tensors, recurrent_kernel, to_tensors


def dropout_masks(key: Array, streams: Integer[Array, " B"], config: ModelConfig) -> list[Float[Array, "B H"]] | None:
    """One mask a layer for a whole window (Gal & Ghahramani 2016), scaled to keep the mean; None without dropout.

    Each stream has its own randomness, so a mask does not depend on how streams are spread over devices.
    """
    if config.dropout == 0:
        return None
    keep = 1 - config.dropout

    def mask(layer: int, stream: Array) -> Array:
        stream_key = jax.random.fold_in(jax.random.fold_in(key, layer), stream)
        return jnp.where(jax.random.bernoulli(stream_key, keep, (config.hidden_size,)), 1 / keep, 0.0)

    return [jax.vmap(partial(mask, layer))(streams) for layer in range(config.layers)]


def drop_weights(key: Array, params: nnx.State, config: ModelConfig) -> nnx.State:
    """DropConnect (Wan et al. 2013) as in AWD-LSTM (Merity, Keskar & Socher 2018).

    Each weight of the recurrent kernels is zero for a whole window, in all streams, with the probability
    `weight_drop`; the others are scaled to keep the mean.
    """
    if config.weight_drop == 0:
        return params
    keep = 1 - config.weight_drop
    tensors = to_tensors(params)
    for layer in range(config.layers):
        kernel = tensors[recurrent_kernel(layer)]
        bits = jax.random.bits(jax.random.fold_in(key, layer), kernel.shape, jnp.uint16)
        # The barrier keeps XLA from drawing the mask again for each use.
        mask = jax.lax.optimization_barrier(jnp.where(bits.astype(jnp.float32) < keep * 2**16, 1 / keep, 0.0))
        tensors[recurrent_kernel(layer)] = kernel * mask
    return from_tensors(config, tensors, "dropped weights")
