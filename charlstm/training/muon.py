"""Muon: momentum whose matrices are made orthogonal, so that every direction of a kernel learns at the same pace.

Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks". A gradient of a recurrent kernel has a
few strong directions and many weak ones; a step along U V^T instead of U S V^T moves along all of them. After 4
million characters of Shakespeare 512 units score 1.415 nats, with AdamW 1.548 (tests/benchmarks/RESULTS.md).

Optax has a Muon, too (`optax.contrib.muon`), and a first step is the same; what it cannot do is what saves time here:
spread the matrices over the devices, sum products of bfloat16 in float32, and multiply the gates one by one, as
XLA's CPU compiler wants it.

Each gate of a layer is a matrix of its own. Their orthogonalisations cost as much as training on two or three
characters for each unit, and are spread over the devices, like everything else.

M: matrices.  R, C: rows and columns.  H: hidden size.
"""

from collections import defaultdict
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from charlstm.model.compilers import is_for_gpu
from charlstm.runtime.mesh import STREAMS

# Rounds x <- a x + b x^3 + c x^5 on the singular values. Each has the (a, b, c) that leave the least largest distance
# from 1, on the range to which the rounds before it bring [0.01, 1] (after Amsel et al. 2025, "The Polar Express";
# tests/benchmarks/muon_rounds.py finds them). What is left is [0.73, 1.27]. Jordan's five equal rounds learn no better
# (RESULTS.md).
ROUNDS = ((8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526))
# How far an update moves in every direction, where AdamW moves every entry by about 1: one learning rate fits both.
# It is longer where few inputs drive many units, by sqrt(C / R) as with Jordan et al.
_LENGTH = 2.25


class MuonState(NamedTuple):
    """The running mean of the gradients."""

    momentum: optax.Updates


def scale_by_muon(
    momentum: float = 0.95, precision: DTypeLike = jnp.float32, gates: int = 4
) -> optax.GradientTransformation:
    """Muon with Nesterov momentum for kernels `[D, G H]` of so many gates; products are rounded to `precision`.

    `update` is called inside a function that is sharded over streams.
    """

    def init(params: optax.Params) -> MuonState:
        return MuonState(jax.tree.map(jnp.zeros_like, params))

    def update(gradients: optax.Updates, state: MuonState, params: optax.Params | None = None):
        def blend(mean: Array, gradient: Array) -> Array:
            return momentum * mean + (1 - momentum) * gradient

        mean = jax.tree.map(blend, state.momentum, gradients)
        ahead = jax.tree.map(blend, mean, gradients)
        leaves, tree = jax.tree.flatten(ahead)
        return jax.tree.unflatten(tree, _orthogonal_gates(leaves, gates, precision)), MuonState(mean)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def _orthogonal_gates(kernels: list[Array], count: int, precision: DTypeLike) -> list[Array]:
    """Every one of the `count` gates of every kernel `[D, G H]` made orthogonal, and as long as an update should be."""
    same_shape = defaultdict(list)
    for place, kernel in enumerate(kernels):
        same_shape[kernel.shape].append(place)
    result = list(kernels)
    for (rows, columns), places in same_shape.items():
        gates = jnp.concatenate([jnp.stack(jnp.split(kernels[place], count, axis=1)) for place in places])
        gates = _spread_out(gates, precision) * (_LENGTH * max(1.0, columns / count / rows) ** 0.5)
        for place, each in zip(places, jnp.split(gates, len(places)), strict=True):
            result[place] = jnp.concatenate(list(each), axis=1)
    return result


def _spread_out(matrices: Float[Array, "M R C"], precision: DTypeLike) -> Float[Array, "M R C"]:
    """`orthogonal` of each, every device doing its share."""
    count, devices = len(matrices), jax.lax.axis_size(STREAMS)
    share = -(-count // devices)
    padded = jnp.pad(matrices, ((0, share * devices - count), (0, 0), (0, 0)))
    mine = jax.lax.dynamic_slice_in_dim(padded, jax.lax.axis_index(STREAMS) * share, share)
    if is_for_gpu():
        mine = jax.vmap(partial(orthogonal, precision=precision))(mine)
    else:  # one by one: batched products run at a fraction of the speed of plain ones
        mine = jnp.stack([orthogonal(matrix, precision) for matrix in mine])
    return jax.lax.all_gather(mine, STREAMS, tiled=True)[:count].astype(jnp.float32)


def orthogonal(matrix: Float[Array, "R C"], precision: DTypeLike = jnp.float32) -> Float[Array, "R C"]:
    """Nearly U V^T of the singular value decomposition U S V^T, by polynomials alone; in `precision`."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T, precision).T

    def matmul(x: Array, y: Array, y_axis: int = 0) -> Array:
        return jax.lax.dot_general(x, y, (((1,), (y_axis,)), ((), ())), preferred_element_type=jnp.float32)

    def polynomial(a: float, x: Array, b: float, y: Array) -> Array:
        return (a * x.astype(jnp.float32) + b * y).astype(precision)

    x = (matrix / (jnp.linalg.norm(matrix) + 1e-7)).astype(precision)
    for a, b, c in ROUNDS:
        square = matmul(x, x, y_axis=1).astype(precision)  # x x^T without transposing: a quarter faster
        x = polynomial(a, x, 1.0, matmul(polynomial(b, square, c, matmul(square, square)), x))
    return x
