"""Checkpoints: everything that resuming needs, bit for bit."""

import json
from typing import Any

import jax

from charlstm.errors import RunError, setting
from charlstm.model.parameters import fit_tensors
from charlstm.runs.folder import Run
from charlstm.runs.tensors import load_tensors, save_tensors


def save_checkpoint(run: Run, state: Any, facts: dict[str, Any]) -> None:
    """Save a tree of arrays and some JSON values: what `load_checkpoint` gives back, bit for bit.

    Raises:
        StorageError: it cannot be written.
    """
    tensors = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
    save_tensors(run.checkpoint_path, tensors, run.header | {"facts": json.dumps(facts)})


def load_checkpoint(run: Run, like: Any) -> tuple[Any, dict[str, Any]]:
    """The last checkpoint as a tree like `like` (arrays or their shapes), and its facts.

    Raises:
        RunError: there is none, or it is damaged or belongs to another configuration.
    """
    path = run.checkpoint_path
    if not path.exists():
        raise RunError(f"{run.path} has no checkpoint yet", f"start it again with {setting('overwrite', True)}")
    tensors, header = load_tensors(path)
    if {key: header.get(key) for key in run.header} != run.header:
        raise RunError(
            f"the settings or the vocabulary in {run.path} are not those that its checkpoint was written with",
            f"bring the old file back; {setting('init_from')} starts a new run with other settings",
        )
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    wanted = {jax.tree_util.keystr(leaf_path): leaf for leaf_path, leaf in leaves}
    return jax.tree.unflatten(tree, fit_tensors(wanted, tensors, str(path))), json.loads(header["facts"])
