"""Long short-term memory (LSTM): once as it is written in the textbook, and once with its gradient.

    f = sigmoid(W_f [h, x] + b_f)      forget gate: what stays on the conveyor belt
    i = sigmoid(W_i [h, x] + b_i)      input gate: what is let onto it
    g = tanh   (W_g [h, x] + b_g)      candidate: what could be let onto it
    o = sigmoid(W_o [h, x] + b_o)      output gate: what of it is shown
    c' = f * c + i * g                 cell state: the conveyor belt, long memory
    h' = o * tanh(c')                  hidden state: short-term memory, and the output

Hochreiter & Schmidhuber (1997), forget gate by Gers, Schmidhuber & Cummins (2000). The gates' inputs share one kernel
of 4H columns in the order i, f, g, o, as in cuDNN, PyTorch and Flax. The part that comes from x, W [x] + b, is known
for all time steps at once and is passed in as `gate_inputs`; only the part that comes from h waits for the scan.

B: streams.  H: hidden size.  G: gates side by side, 4H.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from charlstm.model.compilers import once
from charlstm.model.products import sigmoid
from charlstm.model.scan import Cell, make_scan


class LSTMState(NamedTuple):
    """What one layer remembers: hidden state and cell state."""

    hidden: Float[Array, "B H"]
    cell: Float[Array, "B H"]

    @classmethod
    def zeros(cls, batch_size: int, hidden_size: int) -> "LSTMState":
        """The state before the first character."""
        return cls(jnp.zeros((batch_size, hidden_size)), jnp.zeros((batch_size, hidden_size)))


class LSTMInside(NamedTuple):
    """All that happens in one layer in a time step: gates from 0 to 1, candidate, new cell and new hidden state."""

    input: Float[Array, "B H"]
    forget: Float[Array, "B H"]
    candidate: Float[Array, "B H"]
    output: Float[Array, "B H"]
    cell: Float[Array, "B H"]
    hidden: Float[Array, "B H"]

    @property
    def state(self) -> LSTMState:
        """What is carried to the next time step."""
        return LSTMState(self.hidden, self.cell)


def lstm_step(gate_inputs: Float[Array, "B G"], from_hidden: Float[Array, "B G"], state: LSTMState) -> LSTMInside:
    """One time step of the equations above."""
    i, f, g, o = jnp.split(gate_inputs + from_hidden, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    cell = f * state.cell + i * g
    return LSTMInside(i, f, g, o, cell, o * jnp.tanh(cell))


class Slopes(NamedTuple):
    """How gates and cell of a time step answer to their inputs: all that its gradient needs, but the forget gate."""

    i: Array
    f: Array
    g: Array
    o: Array
    cell: Array


def _forward(inputs: list[Array], from_hidden: list[Array], state: LSTMState) -> tuple[LSTMState, Slopes, Array]:
    """The same, with its slopes. The forget gate is kept unrounded, as a long window multiplies it with itself."""
    i, f, g, o = map(jnp.add, inputs, from_hidden)
    i, f, g, o = once((sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)))
    cell = once(f * state.cell + i * g)
    shown = once(jnp.tanh(cell))
    slopes = Slopes(
        i=g * i * (1 - i), f=state.cell * f * (1 - f), g=i * (1 - g * g), o=shown * o * (1 - o),
        cell=o * (1 - shown * shown),
    )  # fmt: skip
    return LSTMState(o * shown, cell), slopes, f


def _backward(d_state: LSTMState, slopes: Slopes, forget: Array) -> tuple[list[Array], LSTMState]:
    """The gradient of a time step.

    With d_x for the derivative of the loss by x, with i, f, g, o after activation and c' = f c + i g the new cell:
        d_c' += d_h' o (1 - tanh(c')^2)
        d_gates (before activation) = d_c' g i(1-i),  d_c' c f(1-f),  d_c' i (1-g^2),  d_h' tanh(c') o(1-o)
        d_c = d_c' f
    The factors of d_h' and d_c' are the `Slopes`.
    """
    d_hidden = d_state.hidden
    d_cell = once(d_state.cell + d_hidden * slopes.cell)
    d_gates = [d_cell * slopes.i, d_cell * slopes.f, d_cell * slopes.g, d_hidden * slopes.o]
    return d_gates, LSTMState(None, d_cell * forget)  # pyright: ignore[reportArgumentType] - no direct way to h


LSTM = Cell(lstm_step, _forward, _backward, to_inputs=(0, 1, 2, 3), to_hidden=(0, 1, 2, 3))
lstm_scan = make_scan(LSTM)
