"""dlib's face recognition network, rebuilt as an ONNX model from the layers that `faces.weights.dlib` reads."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from faces.weights.dlib import Layer
from faces.weights.graph import Graph

DLIB_SIZE: Final = 150  # pixels; dlib's face chip is square
_STEM: Final = 4  # convolution, affine, ReLU, max pooling
_TAIL: Final = 2  # global average pooling, fully connected

Shape = tuple[int, int, int]  # channels, height, width


def dlib_onnx(layers: Sequence[Layer]) -> bytes:
    """The network as ONNX: `input` (n, 3, 150, 150) normalised RGB -> `embedding` (n, 128), rows not of unit length.

    Source: dlib `examples/dnn_face_recognition_ex.cpp`, anet_type.
    """
    graph = Graph("dlib_face_recognition_resnet_model_v1")
    stem, body, tail = layers[:_STEM], layers[_STEM:-_TAIL], layers[-_TAIL:]
    value, shape = _convolution(graph, "input", (3, DLIB_SIZE, DLIB_SIZE), *stem[:2])
    value, shape = _pool(graph, "MaxPool", graph.node("Relu", value), shape, stem[3])
    while body:
        end = [layer.kind for layer in body].index("add_prev_")
        value, shape = _residual_block(graph, value, shape, body[:end])
        body = body[end + 2 :]  # add_prev_ and the ReLU after it
    flat = graph.node("Flatten", graph.node("GlobalAveragePool", value))
    outputs, inputs, _ = tail[1].numbers
    embedding = graph.node("MatMul", flat, graph.constant(tail[1].parameters.reshape(inputs, outputs)))
    return graph.model({"input": ["n", 3, DLIB_SIZE, DLIB_SIZE]}, {"embedding": (embedding, ["n", outputs])})


def _residual_block(graph: Graph, value: str, shape: Shape, layers: Sequence[Layer]) -> tuple[str, Shape]:
    """ReLU(trunk + shortcut); the shortcut is the input itself or, where the block shrinks it, its 2x2 average."""
    trunk, trunk_shape = _convolution(graph, value, shape, *layers[:2])
    trunk, trunk_shape = _convolution(graph, graph.node("Relu", trunk), trunk_shape, *layers[3:5])
    if len(layers) > 5:
        value, shape = _pool(graph, "AveragePool", value, shape, layers[5])
    both: Shape = (max(trunk_shape[0], shape[0]), max(trunk_shape[1], shape[1]), max(trunk_shape[2], shape[2]))
    total = graph.node("Add", _pad(graph, trunk, trunk_shape, both), _pad(graph, value, shape, both))
    return graph.node("Relu", total), both


def _convolution(graph: Graph, value: str, shape: Shape, layer: Layer, affine: Layer) -> tuple[str, Shape]:
    """A convolution with the affine layer after it (a batch normalisation, already folded by dlib) folded in."""
    filters, rows, columns, stride_y, stride_x, pad_y, pad_x = layer.numbers
    weights = layer.parameters[:-filters].reshape(filters, shape[0], rows, columns)
    gamma, beta = affine.parameters.reshape(2, filters)
    output = graph.node(
        "Conv",
        value,
        graph.constant(weights * gamma[:, None, None, None]),
        graph.constant(layer.parameters[-filters:] * gamma + beta),
        strides=[stride_y, stride_x],
        pads=[pad_y, pad_x, pad_y, pad_x],
    )
    height = (shape[1] + 2 * pad_y - rows) // stride_y + 1
    width = (shape[2] + 2 * pad_x - columns) // stride_x + 1
    return output, (filters, height, width)


def _pool(graph: Graph, operator: str, value: str, shape: Shape, layer: Layer) -> tuple[str, Shape]:
    rows, columns, stride_y, stride_x, _, _ = layer.numbers
    output = graph.node(operator, value, kernel_shape=[rows, columns], strides=[stride_y, stride_x])
    return output, (shape[0], (shape[1] - rows) // stride_y + 1, (shape[2] - columns) // stride_x + 1)


def _pad(graph: Graph, value: str, shape: Shape, target: Shape) -> str:
    """Zeros at the far end of each axis, which is how dlib's `add_prev` adds tensors of different shapes."""
    missing = [wanted - present for wanted, present in zip(target, shape, strict=True)]
    if not any(missing):
        return value
    return graph.node("Pad", value, graph.constant(np.array([0, 0, 0, 0, 0, *missing], dtype=np.int64)))
