"""The head of `kd adapt`: where it begins, and that the file it is exported in answers as it does."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from faces.runtime import load_network, run_in_batches
from kd.adapters import Adapter, joined, ridge

ROWS, TARGETS = (np.random.default_rng(0).standard_normal((50, size)).astype(np.float32) for size in (6, 4))


def adapter(hidden=5, drop=0.0):
    torch.manual_seed(0)
    network = Adapter(6, 4, hidden, drop).eval()
    for values in network.parameters():
        torch.nn.init.normal_(values)
    return network


def naive_ridge(rows, targets):
    """Every shrinkage is tried; the error it makes is guessed from the matrix that gives fitted from true targets."""
    x, y = rows.astype(np.float64), targets.astype(np.float64)
    n, (x_mean, y_mean) = len(x), (x.mean(axis=0), y.mean(axis=0))
    x, y = x - x_mean, y - y_mean
    tried = []
    for shrinkage in 10 ** np.linspace(-4, 1, 21) * x.var(axis=0).mean():
        solve = np.linalg.inv(x.T @ x + n * shrinkage * np.eye(x.shape[1])) @ x.T
        hat = x @ solve + 1 / n
        error = ((y - hat @ y) ** 2).sum() / n / (1 - np.trace(hat) / n) ** 2
        tried.append((error, shrinkage, (solve @ y).T))
    _, shrinkage, weight = min(tried, key=lambda each: each[0])
    return weight, y_mean - weight @ x_mean, shrinkage


@pytest.mark.parametrize("parts", [1, 3])
def test_the_linear_map_begins_as_the_ridge_regression_of_all_rows_however_they_are_parted(parts):
    weight, bias = ridge(zip(np.array_split(ROWS, parts), np.array_split(TARGETS, parts), strict=True))
    expected, intercept, _ = naive_ridge(ROWS, TARGETS)
    assert np.abs(weight.numpy() - expected).max() < 1e-6
    assert np.abs(bias.numpy() - intercept).max() < 1e-6


@pytest.mark.parametrize(("people", "noise"), [(20, 3.0), (2000, 0.1)])
def test_few_and_noisy_rows_are_shrunk_more(people, noise):
    draw = np.random.default_rng(3)
    rows = draw.standard_normal((people, 15)).astype(np.float32)
    targets = rows @ draw.standard_normal((15, 4)) + noise * draw.standard_normal((people, 4))
    expected, intercept, shrinkage = naive_ridge(rows, targets)
    weight, bias = ridge([(rows, targets.astype(np.float32))])
    assert np.abs(weight.numpy() - expected).max() < 1e-5
    assert np.abs(bias.numpy() - intercept).max() < 1e-5
    assert (shrinkage > 0.1) == (people == 20)


def test_a_fitted_adapter_begins_as_its_linear_map():
    network = Adapter(6, 4, hidden=5, drop=0.5)
    network.fit_linear([(ROWS, TARGETS)])
    rows = torch.from_numpy(ROWS)
    assert torch.equal(network(rows), network.linear(torch.nn.functional.normalize(rows, dim=1)))


def test_only_the_direction_of_a_row_counts():
    rows = torch.from_numpy(ROWS)
    assert torch.allclose(adapter()(rows), adapter()(3 * rows), atol=1e-6)


def test_an_adapter_is_known_by_its_state():
    for network in (adapter(), adapter(hidden=0)):
        again = Adapter.of(network.state_dict())
        assert torch.equal(again(torch.from_numpy(ROWS)), network(torch.from_numpy(ROWS)))


def embedder(opset, batch="n"):
    """(n, 3, 2, 2) -> (n, 6): one layer, written in an old or a new version of the operators."""
    weights = np.random.default_rng(1).standard_normal((12, 6)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["crops"], ["rows"]),  # names that the head has too
            helper.make_node("MatMul", ["rows", "unit"], ["embedding"]),
        ],
        "embedder",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, [batch, 3, 2, 2])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 6])],
        [numpy_helper.from_array(weights, "unit")],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def answers(model, folder, crops):
    file = folder / "model.onnx"
    file.write_bytes(model)
    return run_in_batches(load_network(file, threads=1), crops)[0]


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize(("opset", "batch"), [(9, "n"), (11, "n"), (13, 1), (18, "n"), (21, 2)])
def test_embedder_and_adapter_in_one_file_answer_as_one_after_the_other(tmp_path, hidden, opset, batch):
    base, head = embedder(opset, batch).SerializeToString(), adapter(hidden, drop=0.5)
    crops = np.random.default_rng(2).standard_normal((5, 3, 2, 2)).astype(np.float32)
    with torch.inference_mode():
        expected = head(torch.from_numpy(answers(base, tmp_path, crops))).numpy()
    assert np.abs(answers(joined(base, head), tmp_path, crops) - expected).max() < 1e-5


def test_the_embedder_is_in_the_file_as_it_was():
    base = embedder(11)
    model = onnx.load_model_from_string(joined(base.SerializeToString(), adapter()))
    assert model.opset_import == base.opset_import
    assert list(model.graph.node)[: len(base.graph.node)] == list(base.graph.node)
    assert model.graph.initializer[0] == base.graph.initializer[0]
