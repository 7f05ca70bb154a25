"""Tensor files: safetensors, which runs no code when it is read, written whole or not at all.

Every file carries a SHA-256 over its header and its tensors, so that a damaged or edited file is noticed.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save

from charlstm.errors import RunError
from charlstm.files import atomic_write, require_file


def save_tensors(path: Path, tensors: dict[str, Any], header: dict[str, str]) -> None:
    """Write `tensors` and `header` to `path`.

    Raises:
        StorageError: it cannot be written.
    """
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.write(save(arrays, header | {"sha256": _digest(arrays, header)}))


def load_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the header of `path`.

    Raises:
        RunError: it cannot be read, is not of this program, or is damaged.
    """
    try:
        require_file(path)
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] != b"{":
            raise RunError(
                f"{path} is neither a run nor a weights file",
                "a run, or its weights.safetensors, comes first; texts come after it" if start else "it is empty",
            )
        with safetensors.safe_open(path, framework="numpy") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"cannot read {path}: {error}", "the file is damaged or is not a safetensors file") from error
    digest = header.pop("sha256", None)
    if digest is None:
        raise RunError(f"{path} is not a weights file of charlstm", "name a run directory or its weights.safetensors")
    if digest != _digest(tensors, header):
        raise RunError(f"{path} is damaged or was changed: its SHA-256 does not match", "use a copy, or train again")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise RunError(
                f"{path}: the tensor {name!r} holds numbers that are not finite", "use a copy, or train again"
            )
    return tensors, header


def _digest(tensors: dict[str, np.ndarray], header: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(header.items())).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
