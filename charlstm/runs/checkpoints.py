"""Checkpoints: everything that resuming needs, bit for bit. The last one and the one before it are kept."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax

from charlstm.config import RunConfig
from charlstm.errors import RunError, setting
from charlstm.files import parse_json
from charlstm.model.parameters import fit_tensors
from charlstm.runs.folder import Run
from charlstm.runs.header import read_header
from charlstm.runs.tensors import load_tensors, save_tensors


class Checkpoint(NamedTuple):
    """A tree of arrays, JSON values, and the settings of the run when they were saved.

    `damage` says what is wrong with the last checkpoint, if this is the one before it.
    """

    state: Any
    facts: dict[str, Any]
    config: RunConfig
    damage: str = ""


def save_checkpoint(run: Run, state: Any, facts: dict[str, Any]) -> None:
    """Save a tree of arrays and some JSON values: what `load_checkpoint` gives back, bit for bit.

    Raises:
        StorageError: it cannot be written.
    """
    tensors = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
    save_tensors(run.next_checkpoint_path, tensors, run.header | {"facts": json.dumps(facts)})
    run.rotate_checkpoints()


def load_checkpoint(run: Run, like: Any) -> Checkpoint:
    """The last checkpoint that is sound; its tree is like `like` (arrays or their shapes).

    Raises:
        RunError: there is none, they are damaged, or of another configuration.
    """
    errors: list[RunError] = []
    for path in run.checkpoint_paths:
        if not path.exists():
            errors.append(RunError(f"there is no {path}"))
            continue
        try:
            state, facts, config = _load(run, path, like)
        except RunError as error:
            errors.append(error)
        else:
            return Checkpoint(state, facts, config, errors[0].message if errors else "")
    if not any(path.exists() for path in run.checkpoint_paths):
        raise _no_checkpoint(run)
    raise errors[0]


def load_facts(run: Run) -> dict[str, Any]:
    """The JSON values of the last checkpoint that is sound.

    Raises:
        RunError: there is none.
    """
    errors: list[RunError] = []
    for path in filter(Path.exists, run.checkpoint_paths):
        try:
            return _facts_of(load_tensors(path)[1], path)
        except RunError as error:
            errors.append(error)
    raise errors[0] if errors else _no_checkpoint(run)


def _no_checkpoint(run: Run) -> RunError:
    return RunError(f"{run.path} has no checkpoint", f"start it again with {setting('overwrite', True)}")


def _load(run: Run, path: Path, like: Any) -> tuple[Any, dict[str, Any], RunConfig]:
    tensors, header = load_tensors(path)
    config, vocabulary = read_header(header, str(path))
    if config.without_budget() != run.config.without_budget() or vocabulary != run.vocabulary:
        raise RunError(
            f"the settings or the vocabulary in {run.path} are not those that its checkpoint was written with",
            f"bring the old file back; {setting('init_from')} starts a new run with other settings",
        )
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    wanted = {jax.tree_util.keystr(leaf_path): leaf for leaf_path, leaf in leaves}
    return jax.tree.unflatten(tree, fit_tensors(wanted, tensors, str(path))), _facts_of(header, path), config


def _facts_of(header: dict[str, str], path: Path) -> dict[str, Any]:
    try:
        facts = parse_json(header.get("facts", ""))
    except ValueError as error:
        raise RunError(f"{path} does not hold JSON: {error}", "the file is damaged") from error
    if not isinstance(facts, dict):
        raise RunError(f"{path} holds no facts", "the file is damaged")
    return facts
