"""Two portraits in the public domain that come inside other packages, and altered versions of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from PIL import Image, ImageEnhance, ImageOps

from faces.models import installed_file

Picture = Image.Image


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photo of one person; `package` is never imported, the photo is read as a file of it."""

    subject: str
    package: str
    file: str

    def locate(self) -> Path:
        """Raises WeightsMissing when the package is not installed."""
        return installed_file(self.package, self.file, "make demo")


@dataclass(frozen=True, slots=True)
class Question:
    """A photo that the service is asked about, and whom it shows."""

    photo: Path
    subject: str
    altered: str
    """How the photo differs from the one that was enrolled."""


PORTRAITS: Final = (
    Portrait("Grace Hopper", "matplotlib", "grace_hopper.jpg"),
    Portrait("Eileen Collins", "scikit-image", "astronaut.png"),
)

_QUALITY: Final = 92  # of the JPEG files written, unless the alteration is the compression
_ALTERATIONS: Final[Mapping[str, tuple[Callable[[Picture], Picture], int]]] = MappingProxyType(
    {
        "mirrored": (ImageOps.mirror, _QUALITY),
        "darkened": (lambda picture: ImageEnhance.Brightness(picture).enhance(0.4), _QUALITY),
        "shrunk": (lambda picture: ImageOps.scale(picture, 0.4), _QUALITY),
        "recompressed": (lambda picture: picture, 15),
        "rotated": (lambda picture: picture.rotate(12, Image.Resampling.BICUBIC), _QUALITY),
    }
)


def write_people(folder: Path) -> None:
    """A folder a person with the original photo in it: what `index build` reads."""
    for portrait in PORTRAITS:
        original = portrait.locate()
        copy = folder / portrait.subject / original.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(original.read_bytes())


def write_questions(folder: Path) -> list[Question]:
    """Every alteration of every portrait, as JPEG files."""
    folder.mkdir(parents=True)
    questions = []
    for portrait in PORTRAITS:
        with Image.open(portrait.locate()) as opened:
            original = opened.convert("RGB")
        for name, (alter, quality) in _ALTERATIONS.items():
            photo = folder / f"{Path(portrait.file).stem}-{name}.jpg"
            alter(original).save(photo, quality=quality)
            questions.append(Question(photo, portrait.subject, name))
    return questions
