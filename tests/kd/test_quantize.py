"""A Model in int8 answers nearly as it did, in a file of its own with a card of its own."""

import numpy as np
import onnx
import pytest
import torch

from faces.models import find_model, open_embedder, read_model
from kd.backbones.slimresnet import SlimResNet
from kd.errors import DataUnusable, ExportDiffers
from kd.export import to_onnx
from kd.halves import halved, widened
from kd.imports.foreign import import_onnx
from kd.quantize import quantize

SIDE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    network = SlimResNet(SIDE, 16, 0.25)
    network.train()(torch.randn(32, 3, SIDE, SIDE))
    folder = tmp_path_factory.mktemp("teacher")
    (folder / "face.onnx").write_bytes(halved(to_onnx(network.eval(), SIDE)))
    import_onnx(folder / "face.onnx", folder / "model", {"size": str(SIDE)}, sha256=None)
    return find_model(str(folder / "model"))


def crops(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def test_its_embeddings_are_nearly_those_of_the_model(model, tmp_path):
    quantize(model, crops(64, 1), tmp_path / "int8", name="int8")
    faces = crops(16, 2)
    own, found = (open_embedder(each).embed(faces) for each in (model, read_model(tmp_path / "int8")))
    assert (own * found).sum(axis=1).min() > 0.98
    assert not np.array_equal(own, found)


def test_its_weights_take_a_byte_each(model, tmp_path):
    quantize(model, crops(64, 1), tmp_path / "int8", name="int8")
    graph = onnx.load(tmp_path / "int8" / "model.onnx").graph
    large = [each for each in graph.initializer if np.prod(each.dims) >= 1024]
    assert large
    assert {each.data_type for each in large} == {onnx.TensorProto.INT8}


def test_its_card_names_the_same_space_and_claims_no_figures(model, tmp_path):
    card = quantize(model, crops(64, 1), tmp_path / "int8", name="in-int8")
    assert (card.name, card.role, card.measured) == ("in-int8", "student", {})
    assert (card.space, card.teacher_model_id) == (model.card.space, model.card.model_id)
    assert card.model_id != model.card.model_id


def test_a_network_that_does_not_fit_eight_bits_is_refused_and_nothing_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr("kd.quantize._NEAREST", 1.01)
    with pytest.raises(ExportDiffers, match="in int8 the mean cosine"):
        quantize(model, crops(64, 1), tmp_path / "int8", name="int8")
    assert not (tmp_path / "int8").exists()


def test_an_answer_that_is_no_number_is_refused(model, tmp_path, monkeypatch):
    class Broken:
        def embed(self, faces):
            return np.full((len(faces), 16), np.nan, dtype=np.float32)

    monkeypatch.setattr("kd.quantize.open_embedder", lambda _: Broken())
    with pytest.raises(ExportDiffers, match="nan"):
        quantize(model, crops(4, 1), tmp_path / "int8", name="int8")
    assert not (tmp_path / "int8").exists()


def test_one_face_is_too_few_to_check_it_by(model, tmp_path):
    with pytest.raises(DataUnusable, match="too few faces to check an int8 Model by: 1"):
        quantize(model, crops(1, 1), tmp_path / "int8", name="int8")
    assert not (tmp_path / "int8").exists()


def test_weights_kept_as_halves_come_back_as_they_were(model):
    whole = widened(model.onnx.read_bytes())
    kept, again = weights(whole), weights(widened(halved(whole)))
    assert kept.keys() == again.keys()
    assert all(np.array_equal(kept[name], again[name]) for name in kept)
    assert {values.dtype for values in kept.values()} >= {np.dtype("f4")}
    assert np.dtype("f2") not in {values.dtype for values in kept.values()}


def weights(serialised):
    graph = onnx.load_model_from_string(serialised).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
