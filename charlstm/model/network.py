"""The model: embedding -> recurrent layers -> logits, as Flax NNX modules whose state is an argument and a result.

T: time steps.  B: streams.  V: vocabulary.  R: rows of embedding and head; V if no symbol is rare.
E: embedding size.  D: input size of a layer.  H: hidden size.  G: 4H.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.lstm import LSTMState, lstm_scan, lstm_step, product, project, step_product

States = tuple[LSTMState, ...]


class LSTMLayer(nnx.Module):
    """One LSTM layer: the kernels of its four gates side by side, in the order i, f, g, o."""

    def __init__(self, input_size: int, hidden_size: int, rngs: nnx.Rngs) -> None:
        def normal(rows: int) -> Array:
            return jax.random.normal(rngs.params(), (rows, 4 * hidden_size)) * hidden_size**-0.5

        self.input_kernel = nnx.Param(normal(input_size))
        self.recurrent_kernel = nnx.Param(normal(hidden_size))
        # Forget bias 1: a new belt keeps what lies on it (Jozefowicz, Zaremba & Sutskever 2015).
        self.bias = nnx.Param(jnp.zeros(4 * hidden_size).at[hidden_size : 2 * hidden_size].set(1.0))


class CharLSTM(nnx.Module):
    """A stack of LSTM layers that predicts the next character.

    The head reads the sum of all layers' outputs (Melis, Kocisky & Blunsom 2020), so that the first layer learns at
    once, whatever the depth.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        R, E, H = config.rows, config.embedding_size, config.hidden_size
        self.rare = config.rare
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (R, E)))
        self.layers = nnx.List(LSTMLayer(E if layer == 0 else H, H, rngs) for layer in range(config.layers))
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
        `masks` silence units, one mask a layer for all time steps; without them nothing is dropped. Products round
        their operands to `precision`.
        """
        new_states = []
        inputs, total = None, 0.0
        for index, layer in enumerate(self.layers):
            if index == 0:
                gate_inputs = self._first_gate_inputs(ids, precision)
            else:
                gate_inputs = project(inputs, layer.input_kernel[...], precision) + layer.bias[...][None, None]
            inputs, state = lstm_scan(gate_inputs, layer.recurrent_kernel[...], states[index], precision)
            new_states.append(state)
            if masks is not None:
                inputs = inputs * masks[index][None]
            total = total + inputs
        return project(total, self.head_kernel[...], precision) + self.head_bias[...][None, None], tuple(new_states)

    def gate_table(self) -> Float[Array, "R G"]:
        """What each character contributes to the gates of the first layer: `embedding @ input_kernel + bias`."""
        layer = self.layers[0]
        return product(self.embedding[...], layer.input_kernel[...], jnp.float32) + layer.bias[...][None]

    def step(
        self, ids: Integer[Array, " B"], states: States, gate_table: Float[Array, "R G"]
    ) -> tuple[Float[Array, "B V"], States]:
        """`__call__` for a single time step, as in the textbook; for whoever draws text.

        The logits are of all symbols. Products are in the precision of the kernels.
        """
        new_states = []
        gate_inputs, total = gate_table[jnp.minimum(ids, len(gate_table) - 1)], jnp.zeros_like(states[0].hidden)
        for index, layer in enumerate(self.layers):
            if index > 0:
                gate_inputs = step_product(new_states[-1].hidden, layer.input_kernel[...]) + layer.bias[...][None]
            new_states.append(lstm_step(gate_inputs, layer.recurrent_kernel[...], states[index]))
            total = total + new_states[-1].hidden
        logits = step_product(total, self.head_kernel[...]) + self.head_bias[...][None]
        if self.rare:  # each of them is as likely as any other
            each = jnp.repeat(logits[:, -1:] - math.log(self.rare), self.rare, axis=1)
            logits = jnp.concatenate([logits[:, :-1], each], axis=1)
        return logits, tuple(new_states)

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


def _look_up_backward(precision: DTypeLike, kept: tuple[Array, int], d_rows: Array) -> tuple[Array, None]:
    ids, size = kept
    hot = jax.nn.one_hot(ids.reshape(-1), size, axis=0)
    return product(hot, d_rows.reshape(-1, d_rows.shape[-1]), precision), None


look_up.defvjp(lambda table, ids, precision: (table[ids], (ids, table.shape[0])), _look_up_backward)


def cross_entropy(logits: Float[Array, "T B R"], targets: Integer[Array, "T B"], rare: int = 0) -> Float[Array, "T B"]:
    """Nats of each target under softmax(logits), where the last logit is that of the `rare` symbols together."""
    if not rare:
        return _cross_entropy(logits, targets)
    last = logits.shape[-1] - 1
    return _cross_entropy(logits, jnp.minimum(targets, last)) + jnp.where(targets < last, 0.0, math.log(rare))


@jax.custom_vjp
def _cross_entropy(logits: Array, targets: Array) -> Array:
    """Its gradient, softmax - one_hot, needs no gather."""
    return _cross_entropy_forward(logits, targets)[0]


def _cross_entropy_forward(logits: Array, targets: Array):
    shifted = logits - logits.max(-1, keepdims=True)
    exponentials = jax.lax.optimization_barrier(jnp.exp(shifted))
    total = jax.lax.optimization_barrier(exponentials.sum(-1))
    at_target = (shifted * jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype)).sum(-1)
    return jnp.log(total) - at_target, (exponentials, total, targets)


def _cross_entropy_backward(kept: tuple[Array, Array, Array], d_nats: Array) -> tuple[Array, None]:
    exponentials, total, targets = kept
    hot = jax.nn.one_hot(targets, exponentials.shape[-1], dtype=exponentials.dtype)
    return (exponentials * (d_nats / total)[..., None]) - hot * d_nats[..., None], None


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def dropout_masks(key: Array, streams: Integer[Array, " B"], config: ModelConfig) -> list[Float[Array, "B H"]] | None:
    """One mask a layer for a whole window (Gal & Ghahramani 2016), scaled to keep the mean; None without dropout.

    Each stream has its own randomness, so a mask does not depend on how streams are spread over devices.
    """
    if config.dropout == 0:
        return None
    keep = 1 - config.dropout

    def mask(layer: int, stream: Array) -> Array:
        stream_key = jax.random.fold_in(jax.random.fold_in(key, layer), stream)
        return jnp.where(jax.random.bernoulli(stream_key, keep, (config.hidden_size,)), 1 / keep, 0.0)

    return [jax.vmap(partial(mask, layer))(streams) for layer in range(config.layers)]


def drop_weights(key: Array, params: nnx.State, config: ModelConfig) -> nnx.State:
    """DropConnect (Wan et al. 2013) as in AWD-LSTM (Merity, Keskar & Socher 2018).

    Each weight of the recurrent kernels is zero for a whole window, in all streams, with the probability
    `weight_drop`; the others are scaled to keep the mean.
    """
    if config.weight_drop == 0:
        return params
    keep = 1 - config.weight_drop

    def drop(path: tuple, leaf: Array) -> Array:
        name = _name(path)
        if not name.endswith("recurrent_kernel"):
            return leaf
        bits = jax.random.bits(jax.random.fold_in(key, int(name.split(".")[1])), leaf.shape, jnp.uint16)
        # The barrier keeps XLA from drawing the mask again for each use.
        mask = jax.lax.optimization_barrier(jnp.where(bits.astype(jnp.float32) < keep * 2**16, 1 / keep, 0.0))
        return leaf * mask

    return jax.tree_util.tree_map_with_path(drop, params)


def zero_states(config: ModelConfig, batch_size: int) -> States:
    """The states before the first character, one a layer."""
    return tuple(LSTMState.zeros(batch_size, config.hidden_size) for _ in range(config.layers))


def define(config: ModelConfig) -> tuple[nnx.GraphDef[CharLSTM], nnx.State]:
    """What the model is without its numbers: the definition for `nnx.merge`, and the parameters' shapes."""
    abstract = nnx.eval_shape(lambda: CharLSTM(config, nnx.Rngs(0)))
    return nnx.split(abstract, nnx.Param)


@partial(jax.jit, static_argnums=0)
def initial_parameters(config: ModelConfig, seed: int | Array) -> nnx.State:
    """Fresh parameters; jitted because eager initialisers would compile dozens of tiny programs."""
    return nnx.state(CharLSTM(config, nnx.Rngs(jax.random.key(seed))), nnx.Param)


def count_parameters(config: ModelConfig) -> int:
    """How many numbers the model learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(define(config)[1]))


def grow_parameters(old: ModelConfig, params: nnx.State, new: ModelConfig) -> nnx.State:
    """`params` for a vocabulary with more symbols after those that are not rare in `old`.

    A new symbol starts with the mean of the known embeddings, no weights in the head, and the lowest bias.
    """
    known, wanted = old.rows - (old.rare > 0), new.rows - (new.rare > 0)
    fresh = old.rows  # the row that is appended below
    sources = [*range(known), *[fresh] * (wanted - known)]
    if new.rare:
        sources.append(known if old.rare else fresh)
    sources = jnp.array(sources)
    tensors = to_tensors(params)
    embedding, kernel, bias = (jnp.asarray(tensors[name]) for name in ("embedding", "head_kernel", "head_bias"))
    tensors["embedding"] = jnp.concatenate([embedding, embedding.mean(0, keepdims=True)])[sources]
    tensors["head_kernel"] = jnp.pad(kernel, ((0, 0), (0, 1)))[:, sources]
    tensors["head_bias"] = jnp.append(bias, bias.min())[sources]
    return from_tensors(new, tensors, "the weights to start from")


def to_tensors(params: nnx.State) -> dict[str, Any]:
    """Parameters by name: `layers.0.input_kernel`."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def from_tensors(config: ModelConfig, tensors: Mapping[str, Any], where: str) -> nnx.State:
    """The inverse of `to_tensors`.

    Raises:
        RunError: a tensor is missing, unknown, or of another shape or type; `where` names the file.
    """
    shapes = define(config)[1]
    leaves, tree = jax.tree_util.tree_flatten_with_path(shapes)
    return jax.tree.unflatten(tree, fit_tensors({_name(path): leaf for path, leaf in leaves}, tensors, where))


def fit_tensors(wanted: Mapping[str, Any], tensors: Mapping[str, Any], where: str) -> list[Any]:
    """`tensors` in the order of `wanted`, after comparing names, shapes and types.

    Raises:
        RunError: they differ.
    """
    if wrong := sorted(set(wanted).symmetric_difference(tensors)):
        state = "is missing" if wrong[0] in wanted else "does not belong there"
        raise RunError(f"{where}: the tensor {wrong[0]!r} {state}", "the file is damaged or of another model")
    for name, leaf in wanted.items():
        found = tensors[name]
        if found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise RunError(
                f"{where}: the tensor {name!r} is {found.dtype}{list(found.shape)} instead of "
                f"{leaf.dtype}{list(leaf.shape)}",
                "the file is damaged or of another model",
            )
    return [tensors[name] for name in wanted]


def _name(path: tuple) -> str:
    keys = (str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", "")))) for entry in path)
    return ".".join(key for key in keys if key != "value")
