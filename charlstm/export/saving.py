"""A model as an ONNX file, with all that a program must know to use it: in its metadata, and as JSON beside it."""

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charlstm.errors import ConfigError, StorageError, setting
from charlstm.files import atomic_write, is_no_file, user_path, write_text
from charlstm.options import ExportOptions
from charlstm.runs.header import make_header
from charlstm.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charlstm.runs.weights import Weights

_OPSET, _IR = 13, 7  # of 2020 and 2021: before, Softmax was another one
_MAX_BYTES = 2**31 - 2**24  # of numbers: protobuf ends at 2 GiB


def places(options: ExportOptions) -> tuple[Path, Path]:
    """The model, and the JSON beside it for programs that cannot read metadata, as in a browser: `model.onnx.json`.

    Raises:
        ConfigError: the extra `onnx` is not installed, or a place cannot be a file.
        StorageError: there is a file already.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError("an export needs the package onnx", "install it with `pip install 'charlstm[onnx]'`")
    model = user_path(options.path)
    for path in (found := (model, model.with_name(f"{model.name}.json"))):
        if is_no_file(path):
            raise ConfigError(f"{path} is not a file", "choose another name")
        if os.path.isfile(path) and not options.overwrite:  # noqa: PTH113 - Path raises on a long name
            raise StorageError(f"{path} is there already", f"{setting('overwrite', True)} replaces it")
    return found


def export_onnx(weights: "Weights", options: ExportOptions) -> None:
    """Write the network, of several members the first, without counts, as an ONNX model of one step (see step.py).

    Metadata are JSON: `config` and `vocabulary` as in the weights file, `symbols`, what each id is written as (in the
    unit "byte" the character of that number), and `start`, the id that is read first where there is no prompt.

    Raises:
        ConfigError: the extra `onnx` is not installed, a place cannot be a file, or the network is too large.
        StorageError: there is a file already, or it cannot be written.
    """
    path, beside = places(options)
    from onnx import helper

    from charlstm.export.step import step_graph
    from charlstm.model.parameters import to_tensors

    weights = weights.member(0)
    tensors = {name: np.asarray(tensor) for name, tensor in to_tensors(weights.networks[0]).items()}
    if sum(tensor.nbytes for tensor in tensors.values()) > _MAX_BYTES:
        raise ConfigError("the network is larger than an ONNX file may be, 2 GiB", "train one with fewer units")
    graph = step_graph(weights.model, tensors, options.int8)
    versions = {"opset_imports": [helper.make_opsetid("", _OPSET)], "ir_version": _IR}
    model = helper.make_model(graph, producer_name="charlstm", **versions)
    metadata = make_header(weights.config, weights.vocabulary) | _reading(weights.vocabulary)
    helper.set_model_props(model, metadata)
    with atomic_write(path) as file:
        file.write(model.SerializeToString())
    write_text(beside, json.dumps({name: json.loads(text) for name, text in metadata.items()}))


def _reading(vocabulary: Vocabulary) -> dict[str, str]:
    """What a program needs to read and write ids, each as JSON."""
    symbols = [vocabulary.decode(np.array([id])) for id in range(len(vocabulary))]
    return {"symbols": json.dumps(symbols), "start": json.dumps(int(vocabulary.encode_prompt("")[0]))}
