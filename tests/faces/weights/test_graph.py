"""The writer of ONNX graphs."""

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

from faces.runtime import load_network
from faces.weights.graph import Graph, count_parameters


def affine():
    graph = Graph("affine")
    scaled = graph.node("Mul", "x", graph.constant(np.array([2.0, 3.0], dtype=np.float32)))
    moved = graph.node("Add", scaled, graph.constant(np.ones(2, dtype=np.float32)))
    return graph.model({"x": ("n", 2)}, {"y": (moved, ("n", 2))})


def test_a_written_graph_computes_what_its_nodes_say(tmp_path):
    (tmp_path / "affine.onnx").write_bytes(affine())
    (found,) = load_network(tmp_path / "affine.onnx").run(np.array([[1, 1], [0, -1]], dtype=np.float32))
    assert_allclose(found, [[3, 4], [1, -2]])


def test_names_and_varying_sizes_are_the_public_ones():
    graph = onnx.load_model_from_string(affine()).graph
    (given,), (answer,) = graph.input, graph.output
    assert (given.name, answer.name, graph.name) == ("x", "y", "affine")
    assert [size.dim_param or size.dim_value for size in given.type.tensor_type.shape.dim] == ["n", 2]


def test_the_same_graph_is_the_same_bytes():
    """`model_id` is their hash."""
    assert affine() == affine()


def test_a_graph_that_cannot_be_computed_is_refused_where_it_is_written():
    graph = Graph("broken")
    with pytest.raises(onnx.checker.ValidationError):
        graph.model({"x": ("n", 2)}, {"y": (graph.node("Relu", "nobody"), ("n", 2))})


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_parameters_are_the_floating_point_constants(kind):
    graph = Graph("counted")
    kernel = graph.node("Cast", graph.constant(np.zeros((2, 5), dtype=kind)), to=onnx.TensorProto.FLOAT)
    flat = graph.node("Reshape", graph.node("MatMul", "x", kernel), graph.constant(np.array([-1], dtype=np.int64)))
    assert count_parameters(graph.model({"x": ("n", 2)}, {"y": (flat, ("m",))})) == 10
