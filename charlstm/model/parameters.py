"""Parameters: fresh ones, those of a grown vocabulary, and each of them by its name.

R: rows of embedding and head.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.network import CharRNN


def abstract_model(config: ModelConfig) -> tuple[nnx.GraphDef[CharRNN], nnx.State]:
    """What the model is without its numbers: the definition for `nnx.merge`, and the parameters' shapes."""
    abstract = nnx.eval_shape(lambda: CharRNN(config, nnx.Rngs(0)))
    return nnx.split(abstract, nnx.Param)


@partial(jax.jit, static_argnums=0)
def initial_parameters(config: ModelConfig, seed: int | Array) -> nnx.State:
    """Fresh parameters; jitted because eager initialisers would compile dozens of tiny programs."""
    return nnx.state(CharRNN(config, nnx.Rngs(jax.random.key(seed))), nnx.Param)


def count_parameters(config: ModelConfig) -> int:
    """How many numbers the model learns, those of all its members."""
    return config.members * sum(leaf.size for leaf in jax.tree.leaves(abstract_model(config)[1]))


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
    shapes = abstract_model(config)[1]
    return jax.tree.unflatten(jax.tree.structure(shapes), fit_tensors(to_tensors(shapes), tensors, where))


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


def recurrent_kernel(layer: int) -> str:
    """The name of a layer's recurrent kernel."""
    return f"layers.{layer}.recurrent_kernel"


def is_gate_kernel(name: str) -> bool:
    """Whether a tensor's name is that of a kernel of the gates."""
    return name.endswith((".input_kernel", ".recurrent_kernel"))


def map_named(function: Callable[[str, Any], Any], params: Any) -> Any:
    """A tree like `params` of what `function` makes of each tensor and its name."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: function(_name(path), leaf), params)


def _name(path: tuple) -> str:
    keys = (str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", "")))) for entry in path)
    return ".".join(key for key in keys if key != "value")
