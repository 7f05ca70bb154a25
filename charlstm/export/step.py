"""One time step of the network as an ONNX graph: ids and states in, probabilities and new states out.

    ids             int64 [S]       the characters that are read, one a stream
    hidden_0        float32 [S, H]  the state of layer 0 before it, and of an LSTM cell_0; zeros at the beginning
    probabilities   float32 [S, V]  those of the next character, at temperature 1
    new_hidden_0    float32 [S, H]  the state after it, and new_cell_0

Arrays have the names that they have in the weights file; `gate_table` is `embedding @ input_kernel + bias` of layer 0.
Gates stand side by side in the columns of a kernel: i, f, g, o of an LSTM, r, z, n of a GRU (model/lstm.py, gru.py).

S: streams, any number.  V: vocabulary.  R: rows of embedding and head; V if no symbol is rare.  H: hidden size.
"""

from collections.abc import Mapping
from functools import reduce
from operator import add

import numpy as np
from onnx import GraphProto

from charlstm.config import ModelConfig
from charlstm.export.graph import Graph, Value, sigmoid, softmax, tanh


def lstm(inputs: Value, from_hidden: Value, hidden: Value, cell: Value) -> list[Value]:
    """The new hidden and cell state."""
    i, f, g, o = (inputs + from_hidden).split(4)
    cell = sigmoid(f) * cell + sigmoid(i) * tanh(g)
    return [sigmoid(o) * tanh(cell), cell]


def gru(inputs: Value, from_hidden: Value, hidden: Value) -> list[Value]:
    """The new hidden state."""
    (r, z, n), (from_r, from_z, from_n) = inputs.split(3), from_hidden.split(3)
    z, n = sigmoid(z + from_z), tanh(n + sigmoid(r + from_r) * from_n)
    return [n + z * (hidden - n)]  # (1 - z) n + z h


def rnn(inputs: Value, from_hidden: Value, hidden: Value) -> list[Value]:
    """The new hidden state."""
    return [tanh(inputs + from_hidden)]


CELLS = {"lstm": lstm, "gru": gru, "rnn": rnn}
STATES = {"lstm": ("hidden", "cell"), "gru": ("hidden",), "rnn": ("hidden",)}


def step_graph(config: ModelConfig, tensors: Mapping[str, np.ndarray], int8: bool) -> GraphProto:
    """The graph of a network with these tensors, by their names in the weights file; matrices kept as `int8` or not."""
    graph, H, V = Graph(), config.hidden_size, config.vocabulary_size

    def tensor(name: str) -> Value:
        return graph.weights(name, tensors[name], int8)

    ids = graph.takes("ids", np.int64, "S")
    states = [
        [graph.takes(f"{name}_{layer}", np.float32, "S", H) for name in STATES[config.cell]]
        for layer in range(config.layers)
    ]
    rows = graph.array("rows", np.minimum(np.arange(V), config.rows - 1)) if config.rare else None
    known = ids if rows is None else rows.at(ids)
    outputs = list[Value]()
    for layer, state in enumerate(states):
        prefix = f"layers.{layer}."
        if layer == 0 and (table := gate_table(tensors)) is not None:
            gate_inputs = graph.weights("gate_table", table, int8).at(known)
        else:
            inputs = outputs[-1] if layer else tensor("embedding").at(known)
            gate_inputs = inputs @ tensor(f"{prefix}input_kernel") + tensor(f"{prefix}bias")
        from_hidden = state[0] @ tensor(f"{prefix}recurrent_kernel")
        if f"{prefix}recurrent_bias" in tensors:
            from_hidden += tensor(f"{prefix}recurrent_bias")
        state[:] = CELLS[config.cell](gate_inputs, from_hidden, *state)
        outputs.append(state[0])
    total = reduce(add, outputs)
    probabilities = softmax(total @ tensor("head_kernel") + tensor("head_bias"))
    if rows is not None:  # each rare symbol has its part of their row
        shares = np.where(np.arange(V) < config.rows - 1, 1, 1 / config.rare).astype(np.float32)
        probabilities = probabilities.at(rows, axis=1) * graph.array("shares", shares)
    graph.gives("probabilities", probabilities, "S", V)
    for layer, state in enumerate(states):
        for name, value in zip(STATES[config.cell], state, strict=True):
            graph.gives(f"new_{name}_{layer}", value, "S", H)
    return graph.finished("step", __doc__ or "")


def gate_table(tensors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """What each row of the embedding contributes to the gates of layer 0, `[R, G]`, unless the factors are smaller."""
    embedding, kernel = tensors["embedding"], tensors["layers.0.input_kernel"]
    if len(embedding) * kernel.shape[1] > embedding.size + kernel.size:
        return None
    return embedding @ kernel + tensors["layers.0.bias"]
