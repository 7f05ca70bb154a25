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
from jax.lax import optimization_barrier
from jax.typing import DTypeLike
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
    outputs, _, _, state = _forward(gate_inputs, recurrent_kernel, state, precision, keep=False)
    return outputs, state


def _forward(gate_inputs, recurrent_kernel, state, precision, keep: bool):
    """Outputs, cells and activated gates of all time steps (the latter two only on demand), and the last state."""
    kernel = optimization_barrier(recurrent_kernel.astype(precision))
    scale, shift = _gate_scale_and_shift(gate_inputs.shape[-1] // 4)

    def step(carry, inputs):
        hidden, cell = carry
        # One tanh for all four gates: sigmoid(x) = (1 + tanh(x / 2)) / 2.
        gates = optimization_barrier(jnp.tanh((inputs + product(hidden, kernel, precision)) * scale) * scale + shift)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = optimization_barrier(f * cell + i * g)
        hidden = o * jnp.tanh(cell)
        return LSTMState(hidden, cell), (hidden, cell, gates) if keep else (hidden, None, None)

    state, (outputs, cells, gates) = jax.lax.scan(step, state, gate_inputs)
    return outputs, cells, gates, state


def _gate_scale_and_shift(hidden_size: int) -> tuple[Array, Array]:
    """Per column of i, f, g, o: tanh(x * scale) * scale + shift is sigmoid for i, f, o and tanh for g."""
    is_candidate = jnp.arange(4 * hidden_size)[None] // hidden_size == 2
    return jnp.where(is_candidate, 1.0, 0.5), jnp.where(is_candidate, 0.0, 0.5)


def _lstm_scan_forward(gate_inputs, recurrent_kernel, state, precision):
    outputs, cells, gates, last = _forward(gate_inputs, recurrent_kernel, state, precision, keep=True)
    return (outputs, last), (recurrent_kernel, state, outputs, cells, gates)


def _lstm_scan_backward(precision, kept, cotangents):
    """Truncated backpropagation through time (Werbos 1990): only d_gates waits for the loop.

    With d_x for the derivative of the loss by x, from the last time step to the first:
        d_h += d_outputs;  d_c += d_h * o * (1 - tanh(c)^2)
        d_gates (before activation) = d_c g i(1-i),  d_c c_before f(1-f),  d_c i (1-g^2),  d_h tanh(c) o(1-o)
        d_h = d_gates W^T;  d_c = d_c * f
    and after the loop, for all time steps in one product, d_W = h_before^T d_gates.
    """
    recurrent_kernel, state, outputs, cells, gates = kept
    d_outputs, d_last = cotangents
    kernel_transposed = optimization_barrier(recurrent_kernel.T.astype(precision))
    cells_before = jnp.concatenate([state.cell[None], cells[:-1]])

    def step(carry, at):
        d_hidden, d_cell = carry
        d_output, gates, cell_before, cell = at
        i, f, g, o = jnp.split(gates, 4, axis=-1)
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
        return (product(d_gates, kernel_transposed, precision), d_cell * f), d_gates

    (d_hidden, d_cell), d_gates = jax.lax.scan(
        step, tuple(d_last), (d_outputs, gates, cells_before, cells), reverse=True
    )
    hidden_before = jnp.concatenate([state.hidden[None], outputs[:-1]])
    d_kernel = _weight_gradient(hidden_before, d_gates, precision)
    return d_gates, d_kernel, LSTMState(d_hidden, d_cell)


lstm_scan = jax.custom_vjp(_lstm_scan, nondiff_argnums=(3,))
lstm_scan.defvjp(_lstm_scan_forward, _lstm_scan_backward)


def _weight_gradient(inputs: Float[Array, "T B D"], d_outputs: Float[Array, "T B E"], precision) -> Array:
    """The gradient of a kernel `[D, E]` that every time step and stream used: one large product."""
    columns = inputs.reshape(-1, inputs.shape[-1]).astype(precision).T
    if precision == jnp.bfloat16:
        # XLA folds a transposition into the product, and has none for the CPU that reads bfloat16 by columns: it
        # falls back to float32 (198 instead of 360 GFLOP/s). One axis has one layout only, so this one stays.
        columns = optimization_barrier(columns.reshape(-1)).reshape(columns.shape)
    return product(columns, d_outputs.reshape(-1, d_outputs.shape[-1]), precision)


def _project(x: Float[Array, "T B D"], kernel: Float[Array, "D E"], precision: DTypeLike) -> Float[Array, "T B E"]:
    """`x @ kernel` for all time steps at once, rounded to `precision` in the gradient's products too."""
    return product(x, kernel, precision)


def _project_backward(precision, kept, d_outputs):
    x, kernel = kept
    return product(d_outputs, kernel.T, precision), _weight_gradient(x, d_outputs, precision)


project = jax.custom_vjp(_project, nondiff_argnums=(2,))
project.defvjp(lambda x, kernel, precision: (product(x, kernel, precision), (x, kernel)), _project_backward)
