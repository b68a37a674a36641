"""A gallery of three colours, its teacher, a student and a stranger, and the service over them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from app.engine import Engine, open_engine
from app.service import create_app
from app.settings import Settings
from app.trust import trust_of
from faces.align import Image
from faces.detect import Face
from faces.image import ImageLimits
from faces.models import open_embedder, read_model
from index import audit
from index.gallery import LocalGallery, Template, create_gallery
from index.keyring import Keyring
from index.store import open_store
from tests.app import parts


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders: `teacher`, `student` and `clumsy` share a Space, `stranger` has another.

    `clumsy` ranks as the teacher does, but too low for its threshold.
    """
    folder = tmp_path_factory.mktemp("models")
    return {
        "teacher": parts.write_model(folder / "teacher"),
        "student": parts.write_model(folder / "student", role="student", noise=0.05),
        "clumsy": parts.write_model(folder / "clumsy", role="student", noise=1.0),
        "stranger": parts.write_model(folder / "stranger", space=parts.OTHER_SPACE, noise=1.0),
    }


@pytest.fixture
def gallery_path(tmp_path: Path, models: dict[str, Path]) -> Path:
    """A gallery of Red and Green, one Template each, made by the teacher."""
    embedder = open_embedder(read_model(models["teacher"]), threads=1)
    path = tmp_path / "colours.heirloom"
    with create_gallery(path, parts.SPACE) as gallery:
        for name, colour in (("red", parts.RED), ("green", parts.GREEN)):
            crop = np.full((1, 112, 112, 3), colour, dtype=np.uint8)
            template = Template(embedder.embed(crop)[0], embedder.model_id)
            gallery.enrol(name, [template], space=parts.SPACE, name=name.title())
    return path


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    """A folder of probes: five shades of Red and of Green, one of Yellow, three of nameless strangers."""
    folder = tmp_path / "probes"
    for person, shades in parts.PROBES.items():
        (folder / person).mkdir(parents=True)
        for number, shade in enumerate(shades):
            (folder / person / f"{number}.png").write_bytes(parts.photo(shade))
    return folder


@pytest.fixture
def recorded(gallery_path: Path) -> Callable[[], list[audit.Entry]]:
    """What is on record so far of what was done with models, the oldest first."""

    def read() -> list[audit.Entry]:
        with open_store(gallery_path) as store:
            entries = store.read(lambda connection: audit.entries(connection, 100))
        return [entry for entry in reversed(entries) if entry.action in parts.RECORDED]

    return read


@pytest.fixture
def settings(gallery_path: Path, models: dict[str, Path]) -> Settings:
    return parts.settings(gallery_path, models["teacher"])


@pytest.fixture
def engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The real engine, but for the detector: it finds squares."""
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    with open_engine(settings) as opened:
        yield opened


@pytest.fixture
def held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Identification sets `inside`, and goes on when `go_on` is set."""
    events = SimpleNamespace(inside=threading.Event(), go_on=threading.Event())
    detect = parts.SquareDetector().detect

    def hold(images: list[Image]) -> list[list[Face]]:
        events.inside.set()
        assert events.go_on.wait(parts.PATIENCE)
        return detect(images)

    monkeypatch.setattr(engine.stages.detector, "detect", hold)
    yield events
    events.go_on.set()


@pytest.fixture
def gallery(engine: Engine) -> LocalGallery:
    return engine.gallery


@pytest.fixture
def url(engine: Engine, settings: Settings) -> Iterator[str]:
    """The service on loopback, so a model may be named by its path; over a real socket, as every client meets it."""
    unhurried = settings.model_copy(update={"rate": 0})
    trust = trust_of(unhurried, Keyring(engine.gallery.store), loopback=True, name="here")
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), trust=trust, paths_allowed=True)
    with parts.served(app) as served:
        yield served


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=parts.PATIENCE) as made:
        yield made
