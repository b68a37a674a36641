"""A small writer of ONNX graphs, for the networks that this package rebuilds from other libraries' weight files."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET: Final = 17
_IR_VERSION: Final = 8
_FLOATING: Final = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})

Shape = Sequence[str | int]  # a name stands for a size that varies


class Graph:
    """Adds one node at a time; every method takes and returns names of values, all of them float32."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def model(self, inputs: dict[str, Shape], outputs: dict[str, tuple[str, Shape]]) -> bytes:
        """The serialised ONNX model; `inputs` maps names to shapes, `outputs` public names to values and shapes."""
        for public, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [public], name=public))
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised


def count_parameters(model: bytes) -> int:
    """How many floating-point constants a serialised ONNX model holds."""
    constants = onnx.load_model_from_string(model).graph.initializer
    return sum(math.prod(tensor.dims) for tensor in constants if tensor.data_type in _FLOATING)
