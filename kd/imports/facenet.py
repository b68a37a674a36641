"""facenet-pytorch's InceptionResnetV1 as a teacher.

Its faces are MTCNN's boxes, cut out upright and stretched to a square of 160 pixels. Ours are turned and scaled by five
points, which cannot stretch. So the Recipe `facenet-160` puts the points where an average box has them, at the box's
own proportions, and the Model's first step is to take the box, the middle 120 of 160 columns, and stretch it. What
differs is the tilt of a head, which is taken out, and how far a single box is from the average one.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faces.align import FACENET_160
from faces.errors import WeightsMissing, WeightsUnreadable
from faces.models import cache_folder
from faces.space import Input, Licence, ModelCard, Space, digest, short_id
from kd.backbones.inception import InceptionResnetV1
from kd.export import check_export, to_onnx
from kd.folder import write_model
from kd.imports.download import download, require_digest

_DIM: Final = 512
_MEAN, _SCALE = 127.5, 128.0
_COLUMNS: Final = slice(20, 140)  # of 160: a box is 1.336 times as tall as it is wide, benchmarks/facenet_crop.py
_CLASSIFIER: Final = "logits."  # over its training people: no part of the embedding, and of no use without their names


@dataclass(frozen=True, slots=True)
class Release:
    """A published file of weights."""

    url: str
    sha256: str | None
    """None where nobody is known to have stated it."""
    people: str
    """Whom it was trained on."""


_RELEASE: Final = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
FACENETS: Final[Mapping[str, Release]] = MappingProxyType(
    {
        "facenet-vggface2": Release(
            f"{_RELEASE}/20180402-114759-vggface2.pt",
            # its authors state none; this one is pinned alike by several public projects that downloaded it
            "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
            "VGGFace2: 3.3 million images of 9,131 people; for research; not redistributed",
        ),
        "facenet-casia-webface": Release(
            f"{_RELEASE}/20180408-102900-casia-webface.pt",
            None,
            "CASIA-WebFace: 0.5 million images of 10,575 people; for research; not redistributed",
        ),
    }
)


class Boxed(nn.Module):
    """(n, 3, 160, 160) crops in the Recipe `facenet-160` -> what a network makes of the box in them, as a square."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        side = FACENET_160.width
        box = F.interpolate(crops[..., _COLUMNS], size=(side, side), mode="bilinear", align_corners=False)
        embedding: Tensor = self.network(box)
        return embedding


def import_facenet(release: Release, out: Path, *, weights: Path | None, sha256: str | None) -> ModelCard:
    """Write a release of facenet-pytorch into the folder `out` as a Model, and give its card.

    weights: a local file, taken as it is unless `sha256` is given; without it the release is downloaded, and must have
    the SHA-256 that is given or else known. The Space is that of the file.
    Raises WeightsMissing, WeightsUnreadable, ExportDiffers.
    """
    data = _weights(release, weights, sha256)
    boxed = Boxed(_network(data)).eval()
    side = FACENET_160.width
    onnx = to_onnx(boxed, side)
    check_export(boxed, onnx, side)
    space = Space(teacher=digest(data), dim=_DIM, crop=FACENET_160.name)
    model_id = short_id(digest(onnx))
    card = ModelCard(
        name=out.name,
        model_id=model_id,
        role="teacher",
        space=space,
        space_id=space.space_id,
        teacher_model_id=model_id,
        input=Input(side, side, "RGB", (_MEAN, _MEAN, _MEAN), _SCALE),
        crop=FACENET_160,
        dim=_DIM,
        parameters=sum(parameter.numel() for parameter in boxed.parameters()),
        licence=Licence(code="MIT", weights="MIT, as facenet-pytorch publishes them", data=release.people),
        trained=None,
        measured={},
        created=datetime.now(UTC).date().isoformat(),
    )
    return write_model(out, onnx, card)


def _weights(release: Release, file: Path | None, sha256: str | None) -> bytes:
    if file is not None:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise WeightsMissing(
                f"cannot be read ({error.strerror})", str(file), "Give the path of the file."
            ) from None
        if sha256 is not None:
            require_digest(data, sha256, str(file))
        return data
    expected = sha256 or release.sha256
    if expected is None:
        raise WeightsMissing(
            "no SHA-256 is known to believe a download by", release.url, "Give --sha256, or fetch it: --weights FILE."
        )
    return download(release.url, expected, cache_folder()).read_bytes()


def _network(data: bytes) -> InceptionResnetV1:
    network = InceptionResnetV1()
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        network.load_state_dict({name: rows for name, rows in state.items() if not name.startswith(_CLASSIFIER)})
    except Exception as error:  # noqa: BLE001 - a damaged file raises whatever its opcodes stumble over
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
        raise WeightsUnreadable(
            f"not the weights of facenet-pytorch ({reason})", short_id(digest(data)), _AGAIN
        ) from None
    if not all(bool(torch.isfinite(values).all()) for values in network.state_dict().values()):
        raise WeightsUnreadable("weights that are NaN or infinite in the file", short_id(digest(data)), _AGAIN)
    return network


_AGAIN: Final = "Fetch the file again (the value is the beginning of its SHA-256)."
