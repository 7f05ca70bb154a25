"""The model: embedding -> recurrent layers -> logits, as Flax NNX modules whose state is an argument and a result.

T: time steps.  B: streams.  V: vocabulary.  R: rows of embedding and head; V if no symbol is rare.
E: embedding size.  D: input size of a layer.  H: hidden size.  G: gates side by side.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.model.cells import CELLS, Inside, State
from charlstm.model.products import matmul, project, step_matmul
from charlstm.model.scan import from_hidden
from charlstm.options import Cell as CellName

States = tuple[State, ...]
Insides = tuple[Inside, ...]


class Layer(nnx.Module):
    """One recurrent layer: the kernels of its gates side by side, in the order that its cell gives them."""

    def __init__(self, cell: CellName, input_size: int, hidden_size: int, rngs: nnx.Rngs) -> None:
        self.cell = cell
        kind = CELLS[cell]
        columns = kind.cell.gates * hidden_size

        def normal(rows: int) -> Array:
            return jax.random.normal(rngs.params(), (rows, columns)) * hidden_size**-0.5

        self.input_kernel = nnx.Param(normal(input_size))
        self.recurrent_kernel = nnx.Param(normal(hidden_size))
        bias = jnp.zeros(columns)
        if kind.keeps is not None:
            bias = bias.at[kind.keeps * hidden_size : (kind.keeps + 1) * hidden_size].set(1.0)
        self.bias = nnx.Param(bias)
        if kind.has_recurrent_bias:
            self.recurrent_bias = nnx.Param(jnp.zeros(columns))

    def scan(
        self, gate_inputs: Float[Array, "T B G"], state: State, precision: DTypeLike
    ) -> tuple[Float[Array, "T B H"], State]:
        """Outputs of all time steps, and the state after the last one."""
        return CELLS[self.cell].scan(gate_inputs, self.recurrent_kernel[...], state, precision, self._recurrent_bias)

    def step(self, gate_inputs: Float[Array, "B G"], state: State) -> Inside:
        """All that happens in one time step, as in the textbook."""
        product = from_hidden(state.hidden, self.recurrent_kernel[...], self._recurrent_bias)
        return CELLS[self.cell].cell.step(gate_inputs, product, state)

    @property
    def _recurrent_bias(self) -> Float[Array, " G"] | None:
        return self.recurrent_bias[...] if CELLS[self.cell].has_recurrent_bias else None


class CharRNN(nnx.Module):
    """A stack of recurrent layers that predicts the next character.

    The head reads the sum of all layers' outputs (Melis, Kocisky & Blunsom 2020), so that the first layer learns at
    once, whatever the depth.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        R, E, H = config.rows, config.embedding_size, config.hidden_size
        self.rare = config.rare
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (R, E)))
        self.layers = nnx.List(Layer(config.cell, E if layer == 0 else H, H, rngs) for layer in range(config.layers))
        self.head_kernel = nnx.Param(jnp.zeros((H, R)))  # zero: the first prediction is uniform, its loss ln R
        self.head_bias = nnx.Param(jnp.zeros(R))

    def __call__(
        self,
        ids: Integer[Array, "T B"],
        states: States,
        masks: Sequence[Float[Array, "B H"]] | None = None,
        precision: DTypeLike = jnp.float32,
    ) -> tuple[Float[Array, "T B R"], States]:
        """Logits of the next character at every place, and the states after the last one.

        Where there are rare symbols, the last logit is that of all of them together.
        """
        outputs, states = self.outputs(ids, states, masks, precision)
        return project(outputs, self.head_kernel[...], precision) + self.head_bias[...][None, None], states

    def outputs(
        self,
        ids: Integer[Array, "T B"],
        states: States,
        masks: Sequence[Float[Array, "B H"]] | None = None,
        precision: DTypeLike = jnp.float32,
    ) -> tuple[Float[Array, "T B H"], States]:
        """What the head reads at every place, and the states after the last one.

        `masks` are those of dropout, one a layer for all time steps; without them nothing is dropped. Products round
        their operands to `precision`.
        """
        new_states = []
        inputs: Any = None
        total: Any = 0.0
        for index, layer in enumerate(self.layers):
            if index == 0:
                gate_inputs = self._first_gate_inputs(ids, precision)
            else:
                gate_inputs = project(inputs, layer.input_kernel[...], precision) + layer.bias[...][None, None]
            inputs, state = layer.scan(gate_inputs, states[index], precision)
            new_states.append(state)
            if masks is not None:
                inputs = inputs * masks[index][None]
            total = total + inputs
        return total, tuple(new_states)

    def gate_table(self) -> Float[Array, "R G"]:
        """What each character contributes to the gates of the first layer: `embedding @ input_kernel + bias`."""
        layer = self.layers[0]
        return matmul(self.embedding[...], layer.input_kernel[...], jnp.float32) + layer.bias[...][None]

    def step(
        self, ids: Integer[Array, " B"], states: States, gate_table: Float[Array, "R G"] | None
    ) -> tuple[Float[Array, "B V"], States]:
        """`__call__` for a single time step, as in the textbook; for sampling.

        The logits are of all symbols. Products are in the precision of the kernels. Where `gate_table` would be too
        large it is None.
        """
        logits, insides = self.step_inside(ids, states, gate_table)
        return logits, tuple(inside.state for inside in insides)

    def step_inside(
        self, ids: Integer[Array, " B"], states: States, gate_table: Float[Array, "R G"] | None
    ) -> tuple[Float[Array, "B V"], Insides]:
        """The same with all that happens inside, one a layer; compiled programs drop what nobody asks for."""
        insides: list[Inside] = []
        embedding = self.embedding[...]
        ids = jnp.minimum(ids, len(embedding) - 1)
        inputs, total = embedding[ids], jnp.zeros_like(states[0].hidden)
        for index, layer in enumerate(self.layers):
            if index == 0 and gate_table is not None:
                gate_inputs = gate_table[ids]
            else:
                gate_inputs = step_matmul(inputs, layer.input_kernel[...]) + layer.bias[...][None]
            insides.append(layer.step(gate_inputs, states[index]))
            inputs = insides[-1].hidden
            total = total + inputs
        logits = step_matmul(total, self.head_kernel[...]) + self.head_bias[...][None]
        if self.rare:  # each of them is as likely as any other
            each = jnp.repeat(logits[:, -1:] - math.log(self.rare), self.rare, axis=1)
            logits = jnp.concatenate([logits[:, :-1], each], axis=1)
        return logits, tuple(insides)

    def _first_gate_inputs(self, ids: Integer[Array, "T B"], precision: DTypeLike) -> Float[Array, "T B G"]:
        """`embedding[ids] @ input_kernel + bias`, in the cheaper of two orders.

        With R rows to T B characters it costs less to multiply the whole embedding once and to look up the gates'
        inputs; with thousands of characters in the vocabulary the wide table's gradient costs more than it saves.
        """
        layer = self.layers[0]
        embedding, kernel = self.embedding[...], layer.input_kernel[...]
        (R, E), columns = embedding.shape, kernel.shape[1]
        ids = jnp.minimum(ids, R - 1)
        # Multiplications: the one-hot product of look_up's gradient, and a product with the two of its gradient.
        table_first = ids.size * R * columns + 3 * R * E * columns
        rows_first = ids.size * R * E + 3 * ids.size * E * columns
        if table_first <= rows_first:
            return look_up(self.gate_table(), ids, precision)
        return project(look_up(embedding, ids, precision), kernel, precision) + layer.bias[...][None, None]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def look_up(
    table: Float[Array, "R D"], ids: Integer[Array, "T B"], precision: DTypeLike = jnp.float32
) -> Float[Array, "T B D"]:
    """`table[ids]`. Its gradient is a product with one-hot rows: a scatter-add is serial on a CPU."""
    return table[ids]


def _look_up_backward(precision: DTypeLike, residuals: tuple[Array, int], d_rows: Array) -> tuple[Array, None]:
    ids, size = residuals
    hot = jax.nn.one_hot(ids.reshape(-1), size, axis=0)
    return matmul(hot, d_rows.reshape(-1, d_rows.shape[-1]), precision), None


look_up.defvjp(lambda table, ids, precision: (table[ids], (ids, table.shape[0])), _look_up_backward)


def zero_states(config: ModelConfig, batch_size: int) -> States:
    """The states before the first character, one a layer."""
    return tuple(CELLS[config.cell].zeros(batch_size, config.hidden_size) for _ in range(config.layers))
