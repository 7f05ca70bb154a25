"""An ONNX graph as it grows: values, and ordinary operators between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

_TINY = np.float32(1e-30)  # no column of zeros divides by 0


@dataclass(frozen=True)
class Value:
    """An array that a graph computes, by its name there; `+`, `-`, `*` and `@` are nodes of the graph."""

    graph: "Graph"
    name: str

    def __add__(self, other: "Value") -> "Value":
        return self.graph.node("Add", self, other)

    def __sub__(self, other: "Value") -> "Value":
        return self.graph.node("Sub", self, other)

    def __mul__(self, other: "Value") -> "Value":
        return self.graph.node("Mul", self, other)

    def __matmul__(self, other: "Value") -> "Value":
        return self.graph.node("MatMul", self, other)

    def at(self, ids: "Value", axis: int = 0) -> "Value":
        """The rows, or along another axis, of these numbers."""
        return self.graph.node("Gather", self, ids, axis=axis)

    def split(self, parts: int) -> "list[Value]":
        """Blocks of columns, each as wide as the others."""
        return self.graph.nodes("Split", [self], parts, axis=1)


def sigmoid(x: Value) -> Value:
    """The logistic function."""
    return x.graph.node("Sigmoid", x)


def tanh(x: Value) -> Value:
    """The hyperbolic tangent."""
    return x.graph.node("Tanh", x)


def softmax(logits: Value) -> Value:
    """Probabilities over columns."""
    return logits.graph.node("Softmax", logits, axis=1)


class Graph:
    """Nodes in the order in which they are computed, what goes in and comes out, and the arrays that are known."""

    def __init__(self) -> None:
        self._nodes = list[NodeProto]()
        self._arrays = list[TensorProto]()
        self._inputs = list[ValueInfoProto]()
        self._outputs = list[ValueInfoProto]()

    def node(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """What an operator makes of values."""
        return self.nodes(operator, [*inputs], 1, **attributes)[0]

    def nodes(self, operator: str, inputs: list[Value], results: int, **attributes: Any) -> list[Value]:
        """The same of an operator with several results."""
        names = [f"{operator}_{len(self._nodes)}_{number}" for number in range(results)]
        self._nodes.append(helper.make_node(operator, [each.name for each in inputs], names, **attributes))
        return [Value(self, name) for name in names]

    def array(self, name: str, numbers: np.ndarray) -> Value:
        """An array that is known."""
        self._arrays.append(numpy_helper.from_array(np.ascontiguousarray(numbers), name))
        return Value(self, name)

    def weights(self, name: str, numbers: np.ndarray, int8: bool) -> Value:
        """The same, a matrix as int8 with a scale for each column; runtimes restore it once, as they load it."""
        if not int8 or numbers.ndim < 2:
            return self.array(name, numbers)
        scale = np.maximum(abs(numbers).max(0), _TINY) / 127
        whole = self.array(name, np.rint(numbers / scale).astype(np.int8))
        return self.node("Cast", whole, to=TensorProto.FLOAT) * self.array(f"{name}.scale", scale)

    def takes(self, name: str, dtype: DTypeLike, *shape: int | str) -> Value:
        """An array that is given; a size that is a name may be any."""
        self._inputs.append(_info(name, dtype, shape))
        return Value(self, name)

    def gives(self, name: str, value: Value, *shape: int | str) -> None:
        """Have a float32 array come out under a name of its own."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name]))
        self._outputs.append(_info(name, np.float32, shape))

    def finished(self, name: str, about: str) -> GraphProto:
        """All of it as ONNX has it."""
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._arrays, about)


def _info(name: str, dtype: DTypeLike, shape: tuple[int | str, ...]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
