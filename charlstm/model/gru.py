"""The gated recurrent unit (GRU): fewer gates than the LSTM, and no cell beside the hidden state.

    r = sigmoid(W_r x + b_r + U_r h + c_r)          reset gate: what of the past the candidate hears of
    z = sigmoid(W_z x + b_z + U_z h + c_z)          update gate: what stays as it was
    n = tanh   (W_n x + b_n + r * (U_n h + c_n))    candidate: what could take its place
    h' = (1 - z) * n + z * h                        hidden state: memory and output in one

Cho et al. (2014), in the form of cuDNN, PyTorch and Flax, where the reset gate is applied after the product with h, so
that there is a single one. The columns of the kernels are in the order r, z, n. W x + b is passed in as `gate_inputs`.

B: streams.  H: hidden size.  G: gates side by side, 3H.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from charlstm.model.compilers import once
from charlstm.model.products import sigmoid
from charlstm.model.rnn import HiddenState
from charlstm.model.scan import Cell, make_scan


class GRUInside(NamedTuple):
    """All that happens in one layer in a time step: gates from 0 to 1, candidate and new hidden state."""

    reset: Float[Array, "B H"]
    update: Float[Array, "B H"]
    candidate: Float[Array, "B H"]
    hidden: Float[Array, "B H"]

    @property
    def state(self) -> HiddenState:
        """What is carried to the next time step."""
        return HiddenState(self.hidden)


def gru_step(gate_inputs: Float[Array, "B G"], from_hidden: Float[Array, "B G"], state: HiddenState) -> GRUInside:
    """One time step of the equations above."""
    (r, z, n), (from_r, from_z, from_n) = (jnp.split(each, 3, axis=-1) for each in (gate_inputs, from_hidden))
    r, z = jax.nn.sigmoid(r + from_r), jax.nn.sigmoid(z + from_z)
    n = jnp.tanh(n + r * from_n)
    return GRUInside(r, z, n, (1 - z) * n + z * state.hidden)


class Slopes(NamedTuple):
    """How the gates of a time step answer to their inputs; r as it answers to the candidate, and the reset gate."""

    r: Array
    z: Array
    n: Array
    reset: Array


def _forward(inputs: list[Array], from_hidden: list[Array], state: HiddenState) -> tuple[HiddenState, Slopes, Array]:
    """The same, with its slopes. The update gate is kept unrounded, as a long window multiplies it with itself."""
    r, z = once((sigmoid(inputs[0] + from_hidden[0]), sigmoid(inputs[1] + from_hidden[1])))
    past = from_hidden[2]
    n = once(jnp.tanh(inputs[2] + r * past))
    slopes = Slopes(r=past * r * (1 - r), z=(state.hidden - n) * z * (1 - z), n=(1 - z) * (1 - n * n), reset=r)
    return HiddenState((1 - z) * n + z * state.hidden), slopes, z


def _backward(d_state: HiddenState, slopes: Slopes, update: Array) -> tuple[list[Array], HiddenState]:
    """The gradient of a time step.

    With d_x for the derivative of the loss by x, u = U_n h + c_n, and gates after activation:
        d_n (before activation) = d_h' (1-z) (1-n^2);  d_u = d_n r
        d_r, d_z (before activation) = d_n u r(1-r),  d_h' (h - n) z(1-z)
        d_h = d_h' z, beside what comes through the product
    """
    d_n = once(d_state.hidden * slopes.n)
    return (
        [d_n * slopes.r, d_state.hidden * slopes.z, d_n * slopes.reset, d_n],
        HiddenState(d_state.hidden * update),
    )


GRU = Cell(gru_step, _forward, _backward, to_inputs=(0, 1, 3), to_hidden=(0, 1, 2))
gru_scan = make_scan(GRU)
