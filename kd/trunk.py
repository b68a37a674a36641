"""What a frozen Embedder is adapted by: its features, as its last linear layer takes them, or its embedding."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx
import onnx.utils

from faces.embed import ModelEmbedder
from faces.models import Model
from kd.errors import AdaptRefused, require_name
from kd.runtime import open_network

_LINEAR: Final = frozenset({"Gemm", "MatMul"})


def trunk(model: bytes, rows: str) -> bytes:
    """The ONNX model whose output a head is fitted on: up to its features, or whole.

    rows: a name in ROWS. Raises UnknownName for another, AdaptRefused where the model has no such features.
    """
    require_name("rows", rows, ROWS)
    return ROWS[rows](model)


def open_trunk(model: Model, rows: str, *, threads: int) -> ModelEmbedder:
    """Load a Model up to the rows that a head is fitted on; it gives them at unit length, for crops as the Model does.

    Raises what `trunk` does.
    """
    network, size = open_network(trunk(model.onnx.read_bytes(), rows), threads=threads), model.card.input
    ((batch, *_),) = network.inputs.values()
    (answer,) = network.run(np.zeros((batch or 1, 3, size.height, size.width), dtype=np.float32))
    if answer.ndim != 2:
        raise AdaptRefused(f"the features of a face have the shape {answer.shape[1:]}", str(model.onnx), _WHOLE)
    dim = answer.shape[1]
    return ModelEmbedder(replace(model.card, dim=dim, space=replace(model.card.space, dim=dim)), network)


def _features(model: bytes) -> bytes:
    """Cut before the last product with a constant matrix that everything goes through."""
    loaded = onnx.load_model_from_string(model)
    graph, constants = loaded.graph, _constants(loaded.graph)
    inputs = [value.name for value in graph.input if value.name not in constants]
    products = [node for node in graph.node if node.op_type in _LINEAR and node.input[1] in constants]
    layer = next((node for node in reversed(products) if not _passed_by(graph, node, inputs)), None)
    if layer is None:
        raise AdaptRefused("a model that does not end in a linear layer", graph.name, _WHOLE)
    cut = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(loaded)).extract_model(inputs, [layer.input[0]])
    serialised: bytes = cut.SerializeToString(deterministic=True)
    return serialised


def _passed_by(graph: onnx.GraphProto, layer: onnx.NodeProto, inputs: list[str]) -> bool:
    """Whether some of the input reaches the output beside the layer, as it does where a block only weighs channels."""
    reached = set(inputs)
    for node in graph.node:
        if node != layer and reached & set(node.input):
            reached.update(node.output)
    return graph.output[0].name in reached


def _constants(graph: onnx.GraphProto) -> set[str]:
    """Names of values that no input has a part in; a float16 weight is cast before it is used."""
    known = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if all(name in known for name in node.input):
            known.update(node.output)
    return known


def _embedding(model: bytes) -> bytes:
    return model


ROWS: Final[Mapping[str, Callable[[bytes], bytes]]] = MappingProxyType({"features": _features, "embedding": _embedding})
_WHOLE: Final = "Fit the head on the embedding: --rows embedding."
