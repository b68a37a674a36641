"""facenet-pytorch's network as a teacher. Its real weights are not here: the ones used are drawn."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import kd.imports.facenet
from faces.align import FACENET_160
from faces.errors import WeightsMissing, WeightsUnreadable
from faces.models import open_embedder, read_model
from faces.space import Input, digest
from kd.backbones.inception import InceptionResnetV1
from kd.imports import FACENETS, import_teacher
from kd.imports.facenet import Boxed, import_facenet

LOGITS = {"logits.weight": torch.ones(11, 512), "logits.bias": torch.ones(11)}
RELEASE = FACENETS["facenet-vggface2"]


class Little(nn.Module):
    """A network with the ends of the real one, which takes long to export."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 512, 16, stride=16)

    def forward(self, crops):
        return self.layer(crops).mean(dim=(2, 3))


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A file of weights for Little, with a classifier as facenet-pytorch's files have one."""
    monkeypatch.setattr(kd.imports.facenet, "InceptionResnetV1", Little)
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.pt"
    torch.save(Little().state_dict() | LOGITS, file)
    return file


def test_the_box_is_the_middle_columns_stretched_to_a_square():
    crops = np.random.default_rng(0).random((2, 160, 160, 3)).astype(np.float32)
    expected = np.stack([cv2.resize(crop[:, 20:140], (160, 160), interpolation=cv2.INTER_LINEAR) for crop in crops])
    seen = Boxed(nn.Identity())(torch.from_numpy(crops).permute(0, 3, 1, 2))
    assert np.abs(seen.permute(0, 2, 3, 1).numpy() - expected).max() < 1e-5


def test_the_published_names_load_and_the_classifier_is_left_out(tmp_path):
    torch.manual_seed(0)
    published = InceptionResnetV1().eval()
    state = {name: values for name, values in published.state_dict().items() if "num_batches" not in name}
    torch.save(state | LOGITS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    loaded = kd.imports.facenet._network((tmp_path / "old.pt").read_bytes()).eval()
    face = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(loaded(face), published(face))


def test_a_local_file_becomes_a_model_that_answers_as_the_network_does_on_the_box(little, tmp_path):
    card = import_teacher("facenet-vggface2", tmp_path / "facenet", options={}, weights=little)
    model = read_model(tmp_path / "facenet")
    assert card == model.card
    assert (card.name, card.role, card.dim, card.crop) == ("facenet", "teacher", 512, FACENET_160)
    assert card.input == Input(160, 160, "RGB", (127.5, 127.5, 127.5), 128.0)
    assert card.space.teacher == digest(little.read_bytes())
    assert card.teacher_model_id == card.model_id
    crops = np.random.default_rng(1).integers(0, 256, (3, 160, 160, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(crops).permute(0, 3, 1, 2).float() - 127.5) / 128
    with torch.inference_mode():
        expected = nn.functional.normalize(Boxed(kd.imports.facenet._network(little.read_bytes()))(pixels), dim=1)
    assert np.abs(open_embedder(model).embed(crops) - expected.numpy()).max() < 1e-5


def test_a_release_is_downloaded_and_checked(little, served, tmp_path):
    (served[0] / "weights.pt").write_bytes(little.read_bytes())
    release = replace(RELEASE, url=f"{served[1]}/weights.pt", sha256=digest(little.read_bytes()))
    card = import_facenet(release, tmp_path / "facenet", weights=None, sha256=None)
    assert card.space.teacher == release.sha256


def test_a_download_that_is_another_file_leaves_no_model(little, served, tmp_path):
    (served[0] / "weights.pt").write_bytes(little.read_bytes())
    with pytest.raises(WeightsUnreadable, match=f"{RELEASE.sha256} was expected"):
        import_facenet(replace(RELEASE, url=f"{served[1]}/weights.pt"), tmp_path / "facenet", weights=None, sha256=None)
    assert not (tmp_path / "facenet").exists()


def test_a_release_whose_sha256_nobody_states_is_not_downloaded_without_one(tmp_path):
    with pytest.raises(WeightsMissing, match=r"no SHA-256 is known.*casia-webface\.pt.*Give --sha256"):
        import_teacher("facenet-casia-webface", tmp_path / "facenet", options={})


def test_a_local_file_is_held_to_the_sha256_that_is_given(little, tmp_path):
    with pytest.raises(WeightsUnreadable, match=digest(little.read_bytes())):
        import_teacher("facenet-vggface2", tmp_path / "facenet", options={}, weights=little, sha256="0" * 64)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"layer.weight": torch.zeros(3)}, "not the weights of facenet-pytorch"),
        ([1, 2], "not the weights of facenet-pytorch"),
        (Little().state_dict() | {"layer.bias": torch.full((512,), torch.nan)}, "NaN"),
    ],
    ids=["another network", "no network", "NaN"],
)
def test_a_file_of_anything_else_is_refused(little, tmp_path, state, reason):
    torch.save(state, little)
    with pytest.raises(WeightsUnreadable, match=reason):
        import_teacher("facenet-vggface2", tmp_path / "facenet", options={}, weights=little)
    assert not (tmp_path / "facenet").exists()


def test_a_truncated_file_is_refused(little, tmp_path):
    little.write_bytes(little.read_bytes()[:1000])
    with pytest.raises(WeightsUnreadable, match="not the weights of facenet-pytorch"):
        import_teacher("facenet-vggface2", tmp_path / "facenet", options={}, weights=little)


def test_a_file_that_is_not_there_is_an_error_with_its_path(tmp_path):
    with pytest.raises(WeightsMissing, match=r"absent\.pt"):
        import_teacher("facenet-vggface2", tmp_path / "facenet", options={}, weights=tmp_path / "absent.pt")
