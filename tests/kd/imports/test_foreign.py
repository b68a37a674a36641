"""Any ONNX file as a teacher."""

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest

from faces.align import ARCFACE_112, FACENET_160
from faces.errors import CardInvalid, ModelUnknown, WeightsUnreadable
from faces.models import open_embedder, read_model
from faces.space import Input, digest, short_id
from faces.weights.graph import Graph
from kd.errors import ImportRefused
from kd.folder import write_model
from kd.imports import import_teacher
from tests.faces.parts import DIM, small_network


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w600k.onnx"
    path.write_bytes(small_network())
    return path


def test_an_onnx_file_becomes_a_teacher_in_a_space_of_its_own(file, tmp_path):
    card = import_teacher(str(file), tmp_path / "teacher", options={"scale": "127.5"})
    assert card == read_model(tmp_path / "teacher").card
    assert (tmp_path / "teacher" / "model.onnx").read_bytes() == file.read_bytes()
    assert (card.name, card.role, card.dim, card.crop) == ("teacher", "teacher", DIM, ARCFACE_112)
    assert card.model_id == card.teacher_model_id == short_id(digest(file.read_bytes()))
    assert card.space.teacher == digest(file.read_bytes())
    assert card.input == Input(112, 112, "RGB", (127.5, 127.5, 127.5), 127.5)


def test_a_model_that_was_in_the_folder_is_replaced(file, tmp_path):
    import_teacher(str(file), tmp_path / "teacher", options={})
    import_teacher(str(file), tmp_path / "teacher", options={"colour": "BGR"})
    assert read_model(tmp_path / "teacher").card.input.colour == "BGR"


def test_crop_and_size_are_as_given_and_the_model_embeds_such_faces(file, tmp_path):
    file.write_bytes(small_network(side=96))
    card = import_teacher(str(file), tmp_path / "teacher", options={"crop": "facenet-160", "size": "96"})
    assert card.crop == FACENET_160.scaled(96, 96)
    crops = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    assert open_embedder(read_model(tmp_path / "teacher")).embed(crops).shape == (2, DIM)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "160"}, "does not turn one 160 × 160 face into one embedding"),
        ({"crop": "tight"}, "no such crop: 'tight'"),
        ({"scale": "0"}, "not a preprocessing: 'scale=0'"),
    ],
)
def test_a_preprocessing_that_does_not_fit_is_refused_and_nothing_is_written(file, tmp_path, options, message):
    with pytest.raises(ModelUnknown, match=message):
        import_teacher(str(file), tmp_path / "teacher", options=options)
    assert not (tmp_path / "teacher").exists()


@pytest.mark.parametrize(
    "options", [{"mean": "nan"}, {"mean": "127.5,inf,127.5"}, {"scale": "inf"}, {"scale": "nan"}, {"size": "0"}]
)
def test_a_number_that_is_none_is_refused_and_the_model_that_was_there_stays(file, tmp_path, options):
    import_teacher(str(file), tmp_path / "teacher", options={})
    before = {path.name: path.read_bytes() for path in (tmp_path / "teacher").iterdir()}
    (name,) = options
    with pytest.raises(ModelUnknown, match=f"not a preprocessing: '{name}=|does not turn"):
        import_teacher(str(file), tmp_path / "teacher", options=options)
    assert {path.name: path.read_bytes() for path in (tmp_path / "teacher").iterdir()} == before


def test_a_card_that_would_not_read_again_is_not_written(file, tmp_path):
    card = import_teacher(str(file), tmp_path / "teacher", options={})
    before = (tmp_path / "teacher" / "card.json").read_bytes()
    endless = replace(card, input=Input(112, 112, "RGB", (math.inf, 0, 0), 1))
    with pytest.raises(CardInvalid, match=r"would not read, for its input\.mean\.0"):
        write_model(tmp_path / "teacher", file.read_bytes(), endless)
    assert (tmp_path / "teacher" / "card.json").read_bytes() == before


def self_normalising():
    graph = Graph("mxnet")
    half = graph.node("Sub", "data", graph.constant(np.full((1,), 127.5, np.float32)))
    pooled = graph.node("Flatten", graph.node("AveragePool", half, kernel_shape=[28, 28], strides=[28, 28]))
    return graph.model({"data": ("n", 3, 112, 112)}, {"vectors": (pooled, ("n", 48))})


def test_a_network_that_may_normalise_its_own_input_needs_a_word_about_it(file, tmp_path):
    file.write_bytes(self_normalising())
    with pytest.raises(ModelUnknown, match=r"begins with Sub on its input.*--mean 0 --scale 1"):
        import_teacher(str(file), tmp_path / "teacher", options={"colour": "BGR"})
    card = import_teacher(str(file), tmp_path / "teacher", options={"mean": "0", "scale": "1"})
    assert (card.input.mean, card.input.scale) == ((0, 0, 0), 1)


def test_weights_kept_beside_the_file_are_refused_since_they_would_stay_behind(file, tmp_path):
    model = onnx.load_model_from_string(file.read_bytes())
    onnx.save(model, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(WeightsUnreadable, match=r"keeps its weights in another file.*w600k\.onnx"):
        import_teacher(str(file), tmp_path / "teacher", options={})


def test_a_network_that_answers_nothing_but_zeros_is_no_teacher(file, tmp_path):
    file.write_bytes(small_network(weights=np.zeros((48, DIM))))
    with pytest.raises(WeightsUnreadable, match="embeddings without a direction"):
        import_teacher(str(file), tmp_path / "teacher", options={})
    assert not (tmp_path / "teacher").exists()


def test_a_file_that_is_no_onnx_is_refused(file, tmp_path):
    file.write_bytes(b"not a model")
    with pytest.raises(WeightsUnreadable, match=r"w600k\.onnx"):
        import_teacher(str(file), tmp_path / "teacher", options={})


def test_an_onnx_file_is_held_to_the_sha256_that_is_given(file, tmp_path):
    with pytest.raises(WeightsUnreadable, match=digest(file.read_bytes())):
        import_teacher(str(file), tmp_path / "teacher", options={}, sha256="0" * 64)


def test_a_source_that_is_neither_name_nor_file_is_an_error_that_says_what_is(tmp_path):
    with pytest.raises(ModelUnknown, match=r"no such teacher or file: 'facenet-vgg'.*facenet-casia-webface"):
        import_teacher("facenet-vgg", tmp_path / "teacher", options={})


def test_an_option_that_does_not_apply_is_refused_rather_than_ignored(file, tmp_path):
    with pytest.raises(ImportRefused, match="preprocessing of its own, and takes no: 'colour, scale'"):
        import_teacher("facenet-vggface2", tmp_path / "t", options={"colour": "BGR", "scale": "1"})
    with pytest.raises(ImportRefused, match="weights are for facenet-vggface2, facenet-casia-webface, not for"):
        import_teacher(str(file), tmp_path / "t", options={}, weights=file)
