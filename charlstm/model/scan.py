"""All time steps of a cell: once as JAX differentiates them, and once with their gradient written out, which is fast.

The fast form is one that the CPU compilers of all supported versions of JAX turn into a loop that does no more in a
time step than it must (tests/model/test_programs.py looks, RESULTS.md has times):

- The kernel is the left operand of both products of a time step wherever that pays, see `AxisOrder`.
- The compilers compute cheap arithmetic again in each of its consumers. `once` stores it instead on jax 0.12; what is
  dear, as tanh is, all of them store.
- Nothing is written over an array that other operations read: jax 0.10 then copies all of it in every time step.

What a GPU wants instead is in `compilers`.

T: time steps.  B: streams.  H: hidden size.  G: gates side by side.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.lax import dynamic_index_in_dim, dynamic_update_slice
from jaxtyping import Float

from charlstm.model.compilers import is_for_gpu, once, steps_in_round
from charlstm.model.products import AxisOrder, restored, step_matmul, stored, weight_gradient

State = TypeVar("State", bound=Any)  # a NamedTuple of arrays `[B, H]`, the first of which is `hidden`


class Cell(NamedTuple):
    """The equations of a time step, three times: all of what happens, what a scan needs, and its gradient.

    They are given the gates' inputs, what comes to them from the hidden state (with its bias), and the state. Arrays
    are `[B, H]`, in `forward` and `backward` in `AxisOrder`, with one array for each gate.

    `step(inputs [B, G], from_hidden [B, G], state)` is the textbook's, and returns gates, candidate and state as a
    NamedTuple that has the `state`. `forward(inputs, from_hidden, state)` returns the state, the slopes, which are how
    the gates answer to their inputs, and what is kept of the state; slopes are rounded to the precision of products.
    `backward(d_state, slopes, kept)` returns derivatives by what goes into the gates, and by the state before, whose
    hidden part may be None. Of these derivatives those at `to_inputs` are by the gates' inputs, those at `to_hidden` by
    what comes from the hidden state.
    """

    step: Callable[[Array, Array, Any], Any]
    forward: Callable[[list[Array], list[Array], Any], tuple[Any, Any, Any]]
    backward: Callable[[Any, Any, Any], tuple[list[Array], Any]]
    to_inputs: tuple[int, ...]
    to_hidden: tuple[int, ...]

    @property
    def gates(self) -> int:
        """How many blocks of H columns a kernel has."""
        return len(self.to_inputs)


# `scan(gate_inputs [T, B, G], kernel [H, G], state, precision=float32, bias=None) -> (outputs [T, B, H], state)`:
# operands of the recurrent product are rounded to `precision`; `bias` `[G]` is added to it.
Scan = Callable[..., tuple[Array, Any]]


def from_hidden(
    hidden: Float[Array, "B H"], kernel: Float[Array, "H G"], bias: Float[Array, " G"] | None
) -> Float[Array, "B G"]:
    """What comes to the gates from the hidden state, in a single time step; in the precision of the kernel."""
    product = step_matmul(hidden, kernel)
    return product if bias is None else product + bias[None]


def reference_scan(
    cell: Cell,
    gate_inputs: Float[Array, "T B G"],
    kernel: Float[Array, "H G"],
    state: State,
    bias: Float[Array, " G"] | None = None,
) -> tuple[Float[Array, "T B H"], State]:
    """All time steps, differentiated by JAX: the specification that `make_scan` is tested against."""

    def step(carry: State, inputs: Array) -> tuple[State, Array]:
        carry = cell.step(inputs, from_hidden(carry.hidden, kernel, bias), carry).state
        return carry, carry.hidden

    state, outputs = jax.lax.scan(step, state, gate_inputs)
    return outputs, state


def make_scan(cell: Cell) -> Scan:
    """`reference_scan` of a cell, faster."""

    def scan(gate_inputs, kernel, state, precision=jnp.float32, bias=None):
        outputs, _, last = _forward(cell, gate_inputs, kernel, state, precision, bias, keep=False)
        return outputs, last

    def forward(gate_inputs, kernel, state, precision, bias):
        outputs, slopes, last = _forward(cell, gate_inputs, kernel, state, precision, bias, keep=True)
        return (outputs, last), (kernel, state.hidden, outputs, slopes, bias)

    def backward(precision, residuals, cotangents):
        return _backward(cell, precision, residuals, cotangents)

    differentiated = jax.custom_vjp(scan, nondiff_argnums=(3,))
    differentiated.defvjp(forward, backward)
    return differentiated


def _forward(cell, gate_inputs, kernel, state, precision, bias, keep: bool):
    """Outputs `[T, B, H]`, slopes and what is kept of all time steps or, without `keep`, None, and the last state."""
    order = AxisOrder.of(gate_inputs.shape[1], precision)
    prepared = order.kernel(kernel, precision)
    if bias is not None:
        bias = order.enter(jnp.broadcast_to(bias, gate_inputs.shape[1:]))

    def step(state, inputs):
        product = order.matmul(state.hidden, prepared, precision)
        product = product if bias is None else product + bias
        split = (jnp.split(each, cell.gates, axis=-1) for each in (inputs, product))
        state, slopes, kept = cell.forward(*split, state)
        rounded = jax.tree.map(lambda slope: stored(slope, precision), slopes)
        return state, (state.hidden, (rounded, kept) if keep else None)

    start = jax.tree.map(order.enter, state)
    last, (hiddens, slopes) = jax.lax.scan(step, start, order.enter(gate_inputs), unroll=steps_in_round())
    return order.leave(hiddens), slopes, jax.tree.map(order.leave, last)


def _backward(cell, precision, residuals, cotangents):
    """Backpropagation through time (Werbos 1990): each step is the cell's own, and d_h = d_gates W^T between them.

    The gradient of the kernel is left for after the loop: for all time steps in one product, d_W = h^T d_gates.
    """
    kernel, first_hidden, outputs, (slopes, kept), bias = residuals
    d_outputs, d_last = cotangents
    order = AxisOrder.of(outputs.shape[1], precision)
    transposed = order.kernel(kernel.T, precision)

    def step(carry, inputs):
        d_state, d_gates = carry
        t, d_output, slopes, kept = inputs
        slopes = jax.tree.map(lambda x: restored(x).astype(jnp.float32), slopes)
        d_state = d_state._replace(hidden=once(d_state.hidden + d_output))
        found, d_state = cell.backward(d_state, slopes, kept)
        d_gates, now = _put(d_gates, t, [stored(d_gate, precision) for d_gate in found])
        d_hidden = order.matmul(restored(_at(now, cell.to_hidden, len(found))), transposed, precision)
        if d_state.hidden is not None:
            d_hidden = d_hidden + d_state.hidden
        return (d_state._replace(hidden=d_hidden), d_gates), None

    *rest, units = (leaf := jax.tree.leaves(slopes)[0]).shape
    blocks = len({*cell.to_inputs, *cell.to_hidden})
    start = jax.tree.map(order.enter, d_last), jnp.zeros((*rest, blocks * units), leaf.dtype)
    inputs = jnp.arange(len(outputs)), order.enter(d_outputs), slopes, kept
    (d_state, d_gates), _ = jax.lax.scan(step, start, inputs, reverse=True, unroll=steps_in_round())
    d_gates = restored(order.leave(d_gates))
    hiddens = jnp.concatenate([first_hidden[None], outputs[:-1]])
    d_product = _at(d_gates, cell.to_hidden, blocks)
    d_kernel = weight_gradient(hiddens, d_product, precision)
    d_bias = None if bias is None else d_product.astype(jnp.float32).sum((0, 1))
    d_inputs = _at(d_gates, cell.to_inputs, blocks).astype(jnp.float32)
    return d_inputs, d_kernel, jax.tree.map(order.leave, d_state), d_bias


def _put(d_gates: Array, t: Array, found: list[Array]) -> tuple[Array, Array]:
    """Write what was `found` in time step t side by side; returns all of it and that of t."""
    if is_for_gpu():
        now = jnp.concatenate(found, axis=-1)
        return dynamic_update_slice(d_gates, now[None], (t, *(0 for _ in now.shape))), now
    for number, d_gate in enumerate(found):
        # One by one: jax 0.10 is slow at what is concatenated while it is computed.
        place = (t, *(0 for _ in d_gate.shape[1:]), number * d_gate.shape[-1])
        d_gates = dynamic_update_slice(d_gates, d_gate[None], place)
    return d_gates, once(dynamic_index_in_dim(d_gates, t, keepdims=False))


def _at(d_gates: Array, places: tuple[int, ...], blocks: int) -> Array:
    """The blocks of the last axis at `places`, side by side."""
    if places == tuple(range(blocks)):
        return d_gates
    if places == tuple(range(len(places))):
        return d_gates[..., : d_gates.shape[-1] // blocks * len(places)]
    parts = jnp.split(d_gates, blocks, axis=-1)
    return jnp.concatenate([parts[place] for place in places], axis=-1)
