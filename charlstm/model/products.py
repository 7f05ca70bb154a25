"""Products of a kernel with one time step or with all of them, and the order of axes in which they are fast.

T: time steps.  B: streams.  D, E: sizes of any input and output.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.layout import Layout, with_layout_constraint
from jax.lax import bitcast_convert_type
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float

from charlstm.model.compilers import is_for_gpu, once

_LARGE = 2**18  # weights: smaller kernels are multiplied faster by one core


def matmul(x: Float[Array, "... D"], kernel: Float[Array, "D E"], precision: DTypeLike) -> Float[Array, "... E"]:
    """`x @ kernel` with operands rounded to `precision` and sums in float32."""
    return jax.lax.dot_general(
        x.astype(precision),
        kernel.astype(precision),
        (((x.ndim - 1,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )


def step_matmul(x: Float[Array, "B D"], kernel: Float[Array, "D E"]) -> Float[Array, "B E"]:
    """`x @ kernel` of one time step, in the precision of the kernel."""
    if len(x) == 1 and kernel.size >= _LARGE and jax.__version_info__ >= (0, 11):
        # From then on XLA multiplies a vector with one core, but spreads a sum over all (2x512: 2,360 -> 3,650
        # characters/s; on jax 0.10 it is the other way round, 4,900 against 3,370).
        return (kernel.astype(jnp.float32) * x[0][:, None]).sum(0, keepdims=True)
    return matmul(x, kernel, kernel.dtype)


class AxisOrder(NamedTuple):
    """The order of axes of the arrays `[B, E]` of a time step.

    A product packs its right operand anew each time, and to pack a kernel takes up to two thirds of that time. So units
    come first, `[E, B]`, and the kernel is the left operand. Such an array is laid flat, `[E B]`: each gate is one
    stretch of memory, and a loop over it has one index. Only where streams do not fill vectors are these products the
    slower ones (128 units, 25 streams, float32: 36 instead of 20 us), and streams come first. A GPU packs nothing, and
    there they come first as well.
    """

    streams: int
    units_first: bool

    @classmethod
    def of(cls, streams: int, precision: DTypeLike) -> "AxisOrder":
        """The faster one."""
        fills_vectors = streams % (4 if precision == jnp.bfloat16 else 8) == 0
        return cls(streams, units_first=fills_vectors and not is_for_gpu())

    def enter(self, x: ArrayLike) -> Array:
        """`[..., B, E]` in this order."""
        return _transposed(x).reshape(*jnp.shape(x)[:-2], -1) if self.units_first else jnp.asarray(x)

    def leave(self, x: Array) -> Array:
        """The inverse of `enter`."""
        return _transposed(x.reshape(*x.shape[:-1], -1, self.streams)) if self.units_first else x

    def kernel(self, kernel: Float[Array, "D E"], precision: DTypeLike) -> Array:
        """A kernel for `matmul`, made ready once for all time steps."""
        kernel = kernel.astype(precision)
        return once(_transposed(kernel) if self.units_first else _in_rows(kernel))

    def matmul(self, x: Array, kernel: Array, precision: DTypeLike) -> Array:
        """`x @ kernel` for the arrays of one time step."""
        if self.units_first:
            return matmul(kernel, x.reshape(-1, self.streams), precision).reshape(-1)
        return matmul(x, kernel, precision)


def sigmoid(x: Array) -> Array:
    """The logistic function by a tanh and no division: a quarter faster."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def stored(x: Array, precision: DTypeLike) -> Array:
    """`x` as it is kept between the passes: float32, or rounded to bfloat16 where products are.

    As its bits, since jax 0.10 has no arrays of bfloat16 that change in place: it converts them whole, and back.
    """
    return bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16) if precision == jnp.bfloat16 else x


def restored(x: Array) -> Array:
    """The inverse of `stored`; what was rounded stays bfloat16."""
    return x if x.dtype == jnp.float32 else bitcast_convert_type(x, jnp.bfloat16)


def _in_rows(x: Array) -> Array:
    """`x` with its last axis contiguous in memory: a transposition that is done, and not left to every reader."""
    return with_layout_constraint(x, Layout(major_to_minor=tuple(range(x.ndim))))


def _transposed(x: ArrayLike) -> Array:
    """`[..., D, E]` as `[..., E, D]`."""
    return _in_rows(jnp.swapaxes(x, -1, -2))


def weight_gradient(inputs: Float[Array, "T B D"], d_outputs: Float[Array, "T B E"], precision) -> Array:
    """The gradient of a kernel `[D, E]` that every time step and stream used: one large product."""
    rows = inputs.reshape(-1, inputs.shape[-1]).astype(precision)
    columns = rows.T
    if precision == jnp.bfloat16 and not is_for_gpu():
        # XLA would fold the transposition into the product, but has no bfloat16 product for the CPU that reads its left
        # operand by columns, and falls back to float32 (198 instead of 360 GFLOP/s). So it is told to store the
        # transposed array.
        columns = _transposed(once(rows))
    return matmul(columns, d_outputs.reshape(-1, d_outputs.shape[-1]), precision)


def _project(x: Float[Array, "T B D"], kernel: Float[Array, "D E"], precision: DTypeLike) -> Float[Array, "T B E"]:
    """`x @ kernel` for all time steps at once, rounded to `precision` in the gradient's products too."""
    return matmul(x, kernel, precision)


def _project_backward(precision, residuals, d_outputs):
    x, kernel = residuals
    return matmul(d_outputs, kernel.T, precision), weight_gradient(x, d_outputs, precision)


project = jax.custom_vjp(_project, nondiff_argnums=(2,))
project.defvjp(lambda x, kernel, precision: (matmul(x, kernel, precision), (x, kernel)), _project_backward)
