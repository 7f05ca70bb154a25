"""The recurrence: long short-term memory, once as it is written in the textbook and once as it runs fast.

    f = sigmoid(W_f [h, x] + b_f)      forget gate: what stays on the conveyor belt
    i = sigmoid(W_i [h, x] + b_i)      input gate: what is let onto it
    g = tanh   (W_g [h, x] + b_g)      candidate: what could be let onto it
    o = sigmoid(W_o [h, x] + b_o)      output gate: what of it is shown
    c' = f * c + i * g                 cell state: the conveyor belt, long memory
    h' = o * tanh(c')                  hidden state: short-term memory, and the output

Hochreiter & Schmidhuber (1997), forget gate by Gers, Schmidhuber & Cummins (2000). The gates' inputs share one kernel
of 4H columns in the order i, f, g, o, as in cuDNN, PyTorch and Flax. The part that comes from x, W [x] + b, is known
for all time steps at once and is passed in as `gate_inputs`; only the part that comes from h waits for the scan.

T: time steps.  B: streams.  H: hidden size.  G: gates side by side, 4H.  D, E: sizes of any input and output.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.layout import Layout, with_layout_constraint
from jax.lax import bitcast_convert_type, dynamic_index_in_dim, dynamic_update_slice, optimization_barrier
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float


class LSTMState(NamedTuple):
    """What one layer remembers: hidden state and cell state."""

    hidden: Float[Array, "B H"]
    cell: Float[Array, "B H"]

    @classmethod
    def zeros(cls, batch_size: int, hidden_size: int) -> "LSTMState":
        """The state before the first character."""
        return cls(jnp.zeros((batch_size, hidden_size)), jnp.zeros((batch_size, hidden_size)))


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


# --- as in the textbook -------------------------------------------------------------------------------------------


def lstm_step(gate_inputs: Float[Array, "B G"], recurrent_kernel: Float[Array, "H G"], state: LSTMState) -> LSTMState:
    """One time step of the equations above, the product in the precision of the kernel."""
    from_hidden = step_matmul(state.hidden, recurrent_kernel)
    i, f, g, o = jnp.split(gate_inputs + from_hidden, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return LSTMState(jax.nn.sigmoid(o) * jnp.tanh(cell), cell)


def reference_scan(
    gate_inputs: Float[Array, "T B G"], recurrent_kernel: Float[Array, "H G"], state: LSTMState
) -> tuple[Float[Array, "T B H"], LSTMState]:
    """All time steps, differentiated by JAX: the specification that `lstm_scan` is tested against."""

    def step(carry: LSTMState, inputs: Array) -> tuple[LSTMState, Array]:
        carry = lstm_step(inputs, recurrent_kernel, carry)
        return carry, carry.hidden

    state, outputs = jax.lax.scan(step, state, gate_inputs)
    return outputs, state


# --- as it runs fast ----------------------------------------------------------------------------------------------
#
# The same function with its gradient written out, in a form that the CPU compilers of all supported versions of JAX
# turn into a loop that does no more in a time step than it must (tests/test_programs.py looks, RESULTS.md has times):
#
# - The kernel is the left operand of both products of a time step wherever that pays, see `_AxisOrder`.
# - The compilers compute cheap arithmetic again in each of its consumers. `optimization_barrier` stores it instead
#   on jax 0.12; what is dear, as tanh is, all of them store.
# - Nothing is written over an array that other operations read: jax 0.10 then copies all of it in every time step.


class Slopes(NamedTuple):
    """How gates and cell of a time step answer to their inputs: all that its gradients need, see `_backward`.

    Each is `[B, H]` in `_AxisOrder`.
    """

    i: Array
    f: Array
    g: Array
    o: Array
    cell: Array
    kept: Array  # the forget gate; never rounded, as a long window multiplies it with itself


class _AxisOrder(NamedTuple):
    """The order of axes of the arrays `[B, E]` of a time step.

    A product packs its right operand anew each time, and to pack a kernel takes up to two thirds of that time. So units
    come first, `[E, B]`, and the kernel is the left operand. Such an array is laid flat, `[E B]`: each gate is one
    stretch of memory, and a loop over it has one index. Only where streams do not fill vectors are these products the
    slower ones (128 units, 25 streams, float32: 36 instead of 20 us), and streams come first.
    """

    streams: int
    units_first: bool

    @classmethod
    def of(cls, streams: int, precision: DTypeLike) -> "_AxisOrder":
        """The faster one."""
        return cls(streams, streams % (4 if precision == jnp.bfloat16 else 8) == 0)

    def enter(self, x: ArrayLike) -> Array:
        """`[..., B, E]` in this order."""
        return _transposed(x).reshape(*jnp.shape(x)[:-2], -1) if self.units_first else jnp.asarray(x)

    def leave(self, x: Array) -> Array:
        """The inverse of `enter`."""
        return _transposed(x.reshape(*x.shape[:-1], -1, self.streams)) if self.units_first else x

    def kernel(self, kernel: Float[Array, "D E"], precision: DTypeLike) -> Array:
        """A kernel for `matmul`, made ready once for all time steps."""
        kernel = kernel.astype(precision)
        return optimization_barrier(_transposed(kernel) if self.units_first else _in_rows(kernel))

    def matmul(self, x: Array, kernel: Array, precision: DTypeLike) -> Array:
        """`x @ kernel` for the arrays of one time step."""
        if self.units_first:
            return matmul(kernel, x.reshape(-1, self.streams), precision).reshape(-1)
        return matmul(x, kernel, precision)


def _lstm_scan(
    gate_inputs: Float[Array, "T B G"],
    recurrent_kernel: Float[Array, "H G"],
    state: LSTMState,
    precision: DTypeLike = jnp.float32,
) -> tuple[Float[Array, "T B H"], LSTMState]:
    """`reference_scan`, faster; operands of the recurrent product are rounded to `precision`."""
    outputs, _, last = _forward(gate_inputs, recurrent_kernel, state, precision, keep=False)
    return outputs, last


def _forward(gate_inputs, recurrent_kernel, state, precision, keep: bool):
    """Outputs `[T, B, H]`, the slopes of all time steps or, without `keep`, None, and the last state."""
    order = _AxisOrder.of(gate_inputs.shape[1], precision)
    kernel = order.kernel(recurrent_kernel, precision)

    def step(state, inputs):
        hidden, cell = state
        from_hidden = order.matmul(hidden, kernel, precision)
        i, f, g, o = map(jnp.add, jnp.split(inputs, 4, axis=-1), jnp.split(from_hidden, 4, axis=-1))
        i, f, g, o = optimization_barrier((_sigmoid(i), _sigmoid(f), jnp.tanh(g), _sigmoid(o)))
        new_cell = optimization_barrier(f * cell + i * g)
        shown = optimization_barrier(jnp.tanh(new_cell))
        hidden, slopes = o * shown, None
        if keep:
            rounded = g * i * (1 - i), cell * f * (1 - f), i * (1 - g * g), shown * o * (1 - o), o * (1 - shown * shown)
            slopes = Slopes(*(_stored(slope, precision) for slope in rounded), kept=f)
        return LSTMState(hidden, new_cell), (hidden, slopes)

    state = LSTMState(*map(order.enter, state))
    last, (hiddens, slopes) = jax.lax.scan(step, state, order.enter(gate_inputs))
    return order.leave(hiddens), slopes, LSTMState(*map(order.leave, last))


def _lstm_scan_forward(gate_inputs, recurrent_kernel, state, precision):
    outputs, slopes, last = _forward(gate_inputs, recurrent_kernel, state, precision, keep=True)
    return (outputs, last), (recurrent_kernel, state.hidden, outputs, slopes)


def _backward(precision, residuals, cotangents):
    """Backpropagation through time (Werbos 1990); the gradient of the kernel is left for after the loop.

    With d_x for the derivative of the loss by x, with i, f, g, o after activation and c' = f c + i g the new cell, from
    the last time step to the first:
        d_h' += d_outputs;  d_c' += d_h' o (1 - tanh(c')^2)
        d_gates (before activation) = d_c' g i(1-i),  d_c' c f(1-f),  d_c' i (1-g^2),  d_h' tanh(c') o(1-o)
        d_h = d_gates W^T;  d_c = d_c' f
    The factors of d_h' and d_c' are the `Slopes`. After the loop, for all time steps in one product, d_W = h^T d_gates.
    """
    recurrent_kernel, first_hidden, outputs, slopes = residuals
    d_outputs, d_last = cotangents
    order = _AxisOrder.of(outputs.shape[1], precision)
    kernel = order.kernel(recurrent_kernel.T, precision)

    def step(carry, inputs):
        (d_hidden, d_cell), d_gates = carry
        t, d_output, slope = inputs
        slope = Slopes(*(_restored(x).astype(jnp.float32) for x in slope))
        d_hidden = optimization_barrier(d_hidden + d_output)
        d_cell = optimization_barrier(d_cell + d_hidden * slope.cell)
        for number, d_gate in enumerate((d_cell * slope.i, d_cell * slope.f, d_cell * slope.g, d_hidden * slope.o)):
            # One by one: jax 0.10 is slow at what is concatenated while it is computed.
            place = (t, *(0 for _ in d_gate.shape[1:]), number * d_gate.shape[-1])
            d_gates = dynamic_update_slice(d_gates, _stored(d_gate, precision)[None], place)
        now = _restored(optimization_barrier(dynamic_index_in_dim(d_gates, t, keepdims=False)))
        return (LSTMState(order.matmul(now, kernel, precision), d_cell * slope.kept), d_gates), None

    *rest, last = slopes.i.shape
    start = LSTMState(*map(order.enter, d_last)), jnp.zeros((*rest, 4 * last), slopes.i.dtype)
    inputs = jnp.arange(len(outputs)), order.enter(d_outputs), slopes
    (d_state, d_gates), _ = jax.lax.scan(step, start, inputs, reverse=True)
    d_gates = _restored(order.leave(d_gates))
    hiddens = jnp.concatenate([first_hidden[None], outputs[:-1]])
    d_kernel = _weight_gradient(hiddens, d_gates, precision)
    return d_gates.astype(jnp.float32), d_kernel, LSTMState(*map(order.leave, d_state))


lstm_scan = jax.custom_vjp(_lstm_scan, nondiff_argnums=(3,))  # no decorator: with partial its type would be lost
lstm_scan.defvjp(_lstm_scan_forward, _backward)


def _sigmoid(x: Array) -> Array:
    return 0.5 * jnp.tanh(0.5 * x) + 0.5  # a tanh and no division: a quarter faster


def _stored(x: Array, precision: DTypeLike) -> Array:
    """`x` as it is kept between the passes: float32, or rounded to bfloat16 where products are.

    As its bits, since jax 0.10 has no arrays of bfloat16 that change in place: it converts them whole, and back.
    """
    return bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16) if precision == jnp.bfloat16 else x


def _restored(x: Array) -> Array:
    """The inverse of `_stored`; what was rounded stays bfloat16."""
    return x if x.dtype == jnp.float32 else bitcast_convert_type(x, jnp.bfloat16)


def _in_rows(x: Array) -> Array:
    """`x` with its last axis contiguous in memory: a transposition that is done, and not left to every reader."""
    return with_layout_constraint(x, Layout(major_to_minor=tuple(range(x.ndim))))


def _transposed(x: ArrayLike) -> Array:
    """`[..., D, E]` as `[..., E, D]`."""
    return _in_rows(jnp.swapaxes(x, -1, -2))


def _weight_gradient(inputs: Float[Array, "T B D"], d_outputs: Float[Array, "T B E"], precision) -> Array:
    """The gradient of a kernel `[D, E]` that every time step and stream used: one large product."""
    rows = inputs.reshape(-1, inputs.shape[-1]).astype(precision)
    columns = rows.T
    if precision == jnp.bfloat16:
        # XLA would fold the transposition into the product, but has no bfloat16 product for the CPU that reads its left
        # operand by columns, and falls back to float32 (198 instead of 360 GFLOP/s). So it is told to store the
        # transposed array.
        columns = _transposed(optimization_barrier(rows))
    return matmul(columns, d_outputs.reshape(-1, d_outputs.shape[-1]), precision)


def _project(x: Float[Array, "T B D"], kernel: Float[Array, "D E"], precision: DTypeLike) -> Float[Array, "T B E"]:
    """`x @ kernel` for all time steps at once, rounded to `precision` in the gradient's products too."""
    return matmul(x, kernel, precision)


def _project_backward(precision, residuals, d_outputs):
    x, kernel = residuals
    return matmul(d_outputs, kernel.T, precision), _weight_gradient(x, d_outputs, precision)


project = jax.custom_vjp(_project, nondiff_argnums=(2,))
project.defvjp(lambda x, kernel, precision: (matmul(x, kernel, precision), (x, kernel)), _project_backward)
