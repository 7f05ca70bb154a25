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
from jax.lax import dynamic_index_in_dim, dynamic_update_index_in_dim, optimization_barrier
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


def product(x: Float[Array, "... D"], kernel: Float[Array, "D E"], precision: DTypeLike) -> Float[Array, "... E"]:
    """`x @ kernel` with operands rounded to `precision` and sums in float32."""
    return jax.lax.dot_general(
        x.astype(precision),
        kernel.astype(precision),
        (((x.ndim - 1,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )


# --- as in the textbook -------------------------------------------------------------------------------------------


def lstm_step(gate_inputs: Float[Array, "B G"], recurrent_kernel: Float[Array, "H G"], state: LSTMState) -> LSTMState:
    """One time step of the equations above, the product in the precision of the kernel."""
    from_hidden = product(state.hidden, recurrent_kernel, recurrent_kernel.dtype)
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
# The same function with its gradient written out. What makes it fast is what XLA's CPU compiler is kept from doing:
# it fuses the cheap gate arithmetic into every consumer and computes it again for each. `optimization_barrier` makes
# a value be computed once and stored. Measurements: tests/benchmarks/RESULTS.md.


def _lstm_scan(
    gate_inputs: Float[Array, "T B G"],
    recurrent_kernel: Float[Array, "H G"],
    state: LSTMState,
    precision: DTypeLike = jnp.float32,
) -> tuple[Float[Array, "T B H"], LSTMState]:
    """`reference_scan`, faster; operands of the recurrent product are rounded to `precision`."""
    hiddens, _, _, state = _forward(gate_inputs, recurrent_kernel, state, precision, keep=False)
    return hiddens[1:], state


def _forward(gate_inputs, recurrent_kernel, state, precision, keep: bool):
    """Hidden and cell states before each step and after the last, [T + 1, B, H]; gates, [T, B, G]; the last state.

    With `keep` the cell states are stored, and the activated gates take the place of their inputs: a time step then
    writes what its core has just read, and no other array of that size is made. Without, cell states are None and the
    gates still their inputs.
    """
    kernel = optimization_barrier(recurrent_kernel.astype(precision))
    T, B, G = gate_inputs.shape
    scale, shift = _gate_scale_and_shift(G // 4)

    def step(carry, t):
        (hidden, cell), hiddens, cells, gates_at = carry
        # One tanh for all four gates: sigmoid(x) = (1 + tanh(x / 2)) / 2.
        x = _at(gates_at, t) + product(hidden, kernel, precision)
        gates = optimization_barrier(jnp.tanh(x * scale) * scale + shift)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = optimization_barrier(f * cell + i * g)
        hidden = o * jnp.tanh(cell)
        if keep:
            cells, gates_at = _put(cells, t + 1, cell), _put(gates_at, t, gates)
        return (LSTMState(hidden, cell), _put(hiddens, t + 1, hidden), cells, gates_at), None

    hiddens, cells = (_put(jnp.zeros((T + 1, B, G // 4)), 0, part) for part in state)
    start = state, hiddens, cells if keep else None, gate_inputs
    (state, hiddens, cells, gates), _ = jax.lax.scan(step, start, jnp.arange(T))
    return hiddens, cells, gates, state


def _at(array: ArrayLike, t: Array) -> Array:
    """`array[t]`, for an index that is known not to be negative."""
    return dynamic_index_in_dim(array, t, keepdims=False)


def _put(array: Array, t: Array | int, values: Array) -> Array:
    """`array` with `values` at `t`; in a loop it is changed in place."""
    return dynamic_update_index_in_dim(array, values, t, axis=0)


def _gate_scale_and_shift(hidden_size: int) -> tuple[Array, Array]:
    """Per column of i, f, g, o: tanh(x * scale) * scale + shift is sigmoid for i, f, o and tanh for g."""
    is_candidate = jnp.arange(4 * hidden_size)[None] // hidden_size == 2
    return jnp.where(is_candidate, 1.0, 0.5), jnp.where(is_candidate, 0.0, 0.5)


def _lstm_scan_forward(gate_inputs, recurrent_kernel, state, precision):
    hiddens, cells, gates, last = _forward(gate_inputs, recurrent_kernel, state, precision, keep=True)
    return (hiddens[1:], last), (recurrent_kernel, hiddens, cells, gates)


def _lstm_scan_backward(precision, kept, cotangents):
    """Backpropagation through time (Werbos 1990); the gradient of the kernel is left for after the loop.

    With d_x for the derivative of the loss by x, from the last time step to the first:
        d_h += d_outputs;  d_c += d_h * o * (1 - tanh(c)^2)
        d_gates (before activation) = d_c g i(1-i),  d_c c_before f(1-f),  d_c i (1-g^2),  d_h tanh(c) o(1-o)
        d_h = d_gates W^T;  d_c = d_c * f
    and after the loop, for all time steps in one product, d_W = h_before^T d_gates.
    """
    recurrent_kernel, hiddens, cells, gates = kept
    d_outputs, d_last = cotangents
    kernel_transposed = optimization_barrier(recurrent_kernel.T.astype(precision))

    def step(carry, t):
        (d_hidden, d_cell), gates_at = carry
        d_output, cell_before, cell = _at(d_outputs, t), _at(cells, t), _at(cells, t + 1)
        # Read whole, as one stretch of memory, before its quarters are: +4% at 2x128.
        i, f, g, o = jnp.split(optimization_barrier(_at(gates_at, t)), 4, axis=-1)
        d_hidden, tanh_cell = optimization_barrier((d_hidden + d_output, jnp.tanh(cell)))
        d_cell = optimization_barrier(d_cell + d_hidden * o * (1 - tanh_cell * tanh_cell))
        d_gates = optimization_barrier(
            jnp.concatenate(
                [
                    d_cell * g * i * (1 - i),
                    d_cell * cell_before * f * (1 - f),
                    d_cell * i * (1 - g * g),
                    d_hidden * tanh_cell * o * (1 - o),
                ],
                axis=-1,
            )
        )
        d_gates, d_cell = optimization_barrier((d_gates, d_cell * f))
        d_state = LSTMState(product(d_gates, kernel_transposed, precision), d_cell)
        return (d_state, _put(gates_at, t, d_gates)), None

    (d_state, d_gates), _ = jax.lax.scan(step, (d_last, gates), jnp.arange(len(gates)), reverse=True)
    return d_gates, _weight_gradient(hiddens[:-1], d_gates, precision), d_state


lstm_scan = jax.custom_vjp(_lstm_scan, nondiff_argnums=(3,))  # no decorator: with partial its type would be lost
lstm_scan.defvjp(_lstm_scan_forward, _lstm_scan_backward)


def _weight_gradient(inputs: Float[Array, "T B D"], d_outputs: Float[Array, "T B E"], precision) -> Array:
    """The gradient of a kernel `[D, E]` that every time step and stream used: one large product."""
    rows = inputs.reshape(-1, inputs.shape[-1]).astype(precision)
    columns = rows.T
    if precision == jnp.bfloat16:
        # XLA would fold the transposition into the product, but has no bfloat16 product for the CPU that reads its left
        # operand by columns, and falls back to float32 (198 instead of 360 GFLOP/s). So it is told to store the
        # transposed array.
        columns = with_layout_constraint(optimization_barrier(rows).T, Layout(major_to_minor=(0, 1)))
    return product(columns, d_outputs.reshape(-1, d_outputs.shape[-1]), precision)


def _project(x: Float[Array, "T B D"], kernel: Float[Array, "D E"], precision: DTypeLike) -> Float[Array, "T B E"]:
    """`x @ kernel` for all time steps at once, rounded to `precision` in the gradient's products too."""
    return product(x, kernel, precision)


def _project_backward(precision, kept, d_outputs):
    x, kernel = kept
    return product(d_outputs, kernel.T, precision), _weight_gradient(x, d_outputs, precision)


project = jax.custom_vjp(_project, nondiff_argnums=(2,))
project.defvjp(lambda x, kernel, precision: (product(x, kernel, precision), (x, kernel)), _project_backward)
