"""What of an Embedder a head is fitted on: its features, or its embedding."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from faces.models import read_model
from faces.runtime import run_in_batches
from kd.errors import AdaptRefused, UnknownName
from kd.halves import halved
from kd.runtime import open_network
from kd.trunk import open_trunk, trunk

CROPS = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
FIRST, LAST = (np.random.default_rng(size).standard_normal((12, size)).astype(np.float32) for size in (12, 200))
SHIFT = np.arange(200, dtype=np.float32)


def network(*after, last="MatMul", batch="n"):
    """(n, 3, 2, 2) -> (n, 200): a hidden layer, a last one, and what comes after it."""
    weights = {"first": FIRST, "last": LAST, "shift": SHIFT}
    nodes = [
        helper.make_node("Flatten", ["crops"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["features"]),
        helper.make_node(last, ["features", "last"], ["product"]),
        *after,
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, [batch, 3, 2, 2])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [batch, 200])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    serialised: bytes = model.SerializeToString()
    return serialised


def features(crops):
    return np.maximum(crops.reshape(len(crops), -1) @ FIRST, 0)


def answer(model):
    return run_in_batches(open_network(model, threads=1), CROPS)[0]


SHIFTED = helper.make_node("Add", ["product", "shift"], ["shifted"])
UNIT = helper.make_node("LpNormalization", ["shifted"], ["unit"], axis=1, p=2)


@pytest.mark.parametrize(
    "model",
    [network(), network(last="Gemm"), network(SHIFTED), network(SHIFTED, UNIT), network(batch=2), halved(network())],
    ids=["matmul", "gemm", "shifted", "normalised", "fixed batch", "halved"],
)
def test_features_are_what_the_last_linear_layer_takes(model):
    assert np.abs(answer(trunk(model, "features")) - features(CROPS)).max() < 1e-2


def test_the_last_layer_and_what_follows_it_are_not_in_the_trunk():
    graph = onnx.load_model_from_string(trunk(network(SHIFTED, UNIT), "features")).graph
    assert [node.op_type for node in graph.node] == ["Flatten", "MatMul", "Relu"]
    assert [tensor.name for tensor in graph.initializer] == ["first"]


def test_the_embedding_is_the_whole_model():
    assert trunk(network(), "embedding") == network()


def test_a_product_of_two_values_is_no_layer():
    """As in attention: neither factor is a weight."""
    product = helper.make_node("MatMul", ["square", "square"], ["attention"])
    shape = helper.make_node("Expand", ["product", "last"], ["square"])
    assert np.abs(answer(trunk(network(shape, product), "features")) - features(CROPS)).max() < 1e-5


def test_a_layer_that_only_weighs_channels_is_not_the_last():
    """As in squeeze-and-excitation: most of what the network sees goes past it."""
    weighed = helper.make_node("Gather", ["shift", "place"], ["scale"])
    place = helper.make_node("ArgMax", ["product"], ["place"], axis=1, keepdims=1)
    wide = helper.make_node("Tile", ["features", "times"], ["many"])
    product = helper.make_node("Mul", ["many", "scale"], ["embedding"])
    model = onnx.load_model_from_string(network(place, weighed, wide, product))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1]), "times"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 12
    cut = trunk(model.SerializeToString(), "features")
    assert np.abs(answer(cut) - CROPS.reshape(4, 12)).max() < 1e-6  # what the first layer takes, which all goes through


def test_a_model_without_a_linear_layer_has_no_features():
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["crops"], ["embedding"])],
        "flat",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["n", 3, 2, 2])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 12])],
    )
    with pytest.raises(AdaptRefused, match="--rows embedding"):
        trunk(helper.make_model(graph).SerializeToString(), "features")


def test_other_rows_are_refused_by_name():
    with pytest.raises(UnknownName, match="Choose from embedding, features"):
        trunk(network(), "logits")


def test_a_trunk_looks_at_faces_as_its_model_does_and_gives_unit_rows(teacher):
    model = read_model(teacher)
    opened = open_trunk(model, "features", threads=1)
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    pooled = ((crops - 127.5) / 128).reshape(3, 4, 28, 4, 28, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(3, 48)
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert np.abs(opened.embed(crops) - expected).max() < 1e-5
    assert opened.card == replace(model.card, dim=48, space=replace(model.card.space, dim=48))


def test_features_that_are_a_map_are_refused(teacher, tmp_path):
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["crops", "weights"], ["maps"]),
            helper.make_node("Flatten", ["maps"], ["embedding"]),
        ],
        "maps",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 672])],
        [numpy_helper.from_array(np.ones((112, 2), dtype=np.float32), "weights")],
    )
    opsets = [helper.make_opsetid("", 17)]
    layer = helper.make_node("Relu", ["crops"], ["bent"])
    graph.node.insert(0, layer)
    graph.node[1].input[0] = "bent"
    (tmp_path / "maps.onnx").write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    with pytest.raises(AdaptRefused, match=r"shape \(3, 112, 112\)"):
        open_trunk(replace(read_model(teacher), onnx=tmp_path / "maps.onnx"), "features", threads=1)
