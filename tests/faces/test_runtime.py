"""Networks: what OpenVINO answers is what ONNX Runtime answers, from any thread, on the device that was asked for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from faces.errors import DeviceUnavailable, WeightsUnreadable
from faces.runtime import load_network, run_in_batches, runtime_facts
from faces.weights.graph import Graph
from tests.faces.parts import small_network


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network())
    return path


def batch_of(count):
    return np.random.default_rng(count).standard_normal((count, 3, 112, 112)).astype(np.float32)


def test_a_network_knows_its_name_and_the_shape_of_its_input(model):
    network = load_network(model)
    assert network.name == "small"
    assert dict(network.inputs) == {"crops": (None, 3, 112, 112)}


def test_a_second_opinion_on_the_answer(model):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"crops": batch_of(5)})
    (found,) = load_network(model, threads=1).run(batch_of(5))
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-5)


def test_several_outputs_come_in_the_models_order(tmp_path):
    graph = Graph("two")
    outputs = {"zeta": (graph.node("Neg", "x"), ("n", 2)), "alpha": (graph.node("Abs", "x"), ("n", 2))}
    (tmp_path / "two.onnx").write_bytes(graph.model({"x": ("n", 2)}, outputs))
    negative, absolute = load_network(tmp_path / "two.onnx").run(np.array([[1, -2]], dtype=np.float32))
    assert_array_equal(negative, [[-1, 2]])
    assert_array_equal(absolute, [[1, 2]])


def test_an_answer_is_the_callers_own(model):
    network = load_network(model)
    (first,) = network.run(batch_of(1))
    kept = first.copy()
    network.run(batch_of(2))
    assert_array_equal(first, kept)


def test_a_network_is_pinned_to_no_core(model):
    """Pinned, any number of networks of one thread would share the first core, those of other processes too."""
    assert load_network(model, threads=1)._compiled.get_property("ENABLE_CPU_PINNING") is False


def test_many_threads_get_their_own_answers(model):
    network = load_network(model, threads=1)
    alone = [network.run(batch_of(count))[0] for count in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        for together, expected in zip(pool.map(lambda n: network.run(batch_of(n))[0], range(1, 9)), alone, strict=True):
            assert_allclose(together, expected, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_network_built_for_one_size_of_batch_answers_any_number_of_rows(tmp_path, batch, count):
    graph = Graph("fixed")
    outputs = {"negative": (graph.node("Neg", "x"), (batch, 2)), "absolute": (graph.node("Abs", "x"), (batch, 2))}
    (tmp_path / "fixed.onnx").write_bytes(graph.model({"x": (batch, 2)}, outputs))
    rows = np.arange(2.0 * count, dtype=np.float32).reshape(count, 2)
    negative, absolute = run_in_batches(load_network(tmp_path / "fixed.onnx"), rows)
    assert_array_equal(negative, -rows)
    assert_array_equal(absolute, rows)


@pytest.mark.parametrize("data", [b"", b"not a model", small_network()[:400]])
def test_a_file_that_is_no_model_is_an_error_that_names_it(tmp_path, data):
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(
        WeightsUnreadable, match=r"does not open as an ONNX model \(.*broken\.onnx'\. Check the file\.$"
    ):
        load_network(path)


def test_a_device_that_is_not_there_is_an_error_and_never_another_device(model):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceUnavailable, match=r"no CUDA: 'cuda'\. Run make install-gpu"):
        load_network(model, device="cuda")


def test_the_runtime_says_what_it_is_and_what_it_runs_on():
    facts = runtime_facts()
    assert facts.name == "OpenVINO"
    assert facts.version.startswith("20")
    assert facts.processor
    assert "FP32" in facts.capabilities


def test_a_runtime_that_does_not_start_is_told_in_words(monkeypatch):
    def fail():
        raise RuntimeError("libopenvino.so: cannot open shared object file\n at: ...")

    monkeypatch.setattr("faces.runtime._core", fail)
    with pytest.raises(DeviceUnavailable, match=r"OpenVINO does not start.*cannot open shared object file\.$"):
        runtime_facts()
