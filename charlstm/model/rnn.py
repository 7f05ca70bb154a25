"""The plain recurrent network, without any gate.

    h' = tanh(W x + b + U h)

Elman (1990). Each step back in time multiplies a gradient by U and by a slope below 1: where U is small it
vanishes, and where it is large it explodes (Bengio, Simard & Frasconi 1994). W x + b is passed in as `gate_inputs`.

B: streams.  H: hidden size.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from charlstm.model.scan import Cell, make_scan


class HiddenState(NamedTuple):
    """What one layer of a cell without a conveyor belt remembers."""

    hidden: Float[Array, "B H"]

    @classmethod
    def zeros(cls, batch_size: int, hidden_size: int) -> "HiddenState":
        """The state before the first character."""
        return cls(jnp.zeros((batch_size, hidden_size)))


class RNNInside(NamedTuple):
    """All that happens in one layer in a time step: the new hidden state."""

    hidden: Float[Array, "B H"]

    @property
    def state(self) -> HiddenState:
        """What is carried to the next time step."""
        return HiddenState(self.hidden)


def rnn_step(gate_inputs: Float[Array, "B H"], from_hidden: Float[Array, "B H"], state: HiddenState) -> RNNInside:
    """One time step of the equation above."""
    return RNNInside(jnp.tanh(gate_inputs + from_hidden))


def _forward(inputs: list[Array], from_hidden: list[Array], state: HiddenState) -> tuple[HiddenState, Array, None]:
    """The same, with its slope."""
    hidden = jnp.tanh(inputs[0] + from_hidden[0])
    return HiddenState(hidden), 1 - hidden * hidden, None


def _backward(d_state: HiddenState, slope: Array, _: None) -> tuple[list[Array], HiddenState]:
    """The gradient of a time step: d_h' (1 - h'^2) before activation; all that goes back goes through the product."""
    return [d_state.hidden * slope], HiddenState(None)  # pyright: ignore[reportArgumentType]


RNN = Cell(rnn_step, _forward, _backward, to_inputs=(0,), to_hidden=(0,))
rnn_scan = make_scan(RNN)
