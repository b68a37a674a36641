"""Small honest parts for tests of `app`: photos of coloured squares, a detector of squares, networks of one layer."""

import io
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image as Pillow

from app.admission import Admission, Ticket
from app.engine import Engine
from app.serve import bind, protocol, url_of
from app.settings import Settings
from faces.align import ARCFACE_112, Image
from faces.detect import Face
from faces.space import Cell, Input, Licence, ModelCard, Space, digest, read_card, short_id
from faces.weights.graph import Graph
from index.access import Grant
from index.gallery import Template
from index.keyring import Keyring
from index.store import open_store

DIM = 8
SPACE = Space(teacher="ab" * 32, dim=DIM, crop=ARCFACE_112.name)
OTHER_SPACE = replace(SPACE, teacher="cd" * 32)

BLACK, RED, GREEN, BLUE = (0, 0, 0), (250, 10, 10), (10, 250, 10), (10, 10, 250)
PROBES = {
    "red": [(250 - 9 * shade, 20, 20) for shade in range(5)],
    "green": [(20, 250 - 9 * shade, 20) for shade in range(5)],
    "yellow": [(240, 240, 10)],
    "_strangers": [(20, 20, 250 - 9 * shade) for shade in range(3)],
}
"""People -> shades of them, none of which is enrolled."""
RECORDED = ("load_model", "gate", "shadow", "swap", "rollback", "unload_model")
TEACHER_THRESHOLD, STUDENT_THRESHOLD = 0.7, 0.8
PATIENCE = 60.0
"""Seconds that a test waits for what must come: a busy machine may stand still for some of them."""

Colour = tuple[int, int, int]


def photo(*colours: Colour, side: int = 40, kind: str = "PNG") -> bytes:
    """A photo of squares in a row; each that is not black is a face."""
    pixels = np.concatenate([np.full((side, side, 3), colour, dtype=np.uint8) for colour in colours], axis=1)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind)
    return file.getvalue()


class SquareDetector:
    """Finds a face in each square that is not black."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return [[_face(i, image) for i in range(_squares(image)) if _square(i, image).any()] for image in images]


def _squares(image: Image) -> int:
    return image.shape[1] // image.shape[0]


def _square(i: int, image: Image) -> Image:
    side = image.shape[0]
    return image[:, i * side : (i + 1) * side]


def _face(i: int, image: Image) -> Face:
    """The landmarks are the ArcFace template in the middle half of the square, so the Crop holds its colour alone."""
    side = image.shape[0]
    landmarks = np.array(ARCFACE_112.points, dtype=np.float32) * (side / 224) + side / 4
    landmarks[:, 0] += i * side
    return Face((float(i * side), 0.0, float((i + 1) * side), float(side)), 0.99 - i / 100, landmarks)


def write_model(folder: Path, *, space: Space = SPACE, role: str = "teacher", noise: float = 0.0) -> Path:
    """A Model folder: one layer over 4 × 4 mean colours. The same weights for every call, plus so much noise."""
    draw = np.random.default_rng(7)
    weights = draw.standard_normal((48, DIM)) + noise * draw.standard_normal((48, DIM))
    graph = Graph(folder.name)
    pooled = graph.node("AveragePool", "crops", kernel_shape=[28, 28], strides=[28, 28])
    vectors = graph.node("MatMul", graph.node("Flatten", pooled), graph.constant(weights.astype(np.float32)))
    model = graph.model({"crops": ("n", 3, 112, 112)}, {"vectors": (vectors, ("n", DIM))})
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "card.json").write_text(_card(folder.name, model, space, role).to_json())
    return folder


def _card(name: str, model: bytes, space: Space, role: str) -> ModelCard:
    threshold = TEACHER_THRESHOLD if role == "teacher" else STUDENT_THRESHOLD
    cell = Cell(370, 837, 640, 0.9, {"0.01": 0.3}, {"0.01": threshold})
    return ModelCard(
        name=name,
        model_id=short_id(digest(model)),
        role=role,
        space=space,
        space_id=space.space_id,
        teacher_model_id="0123456789abcdef",
        input=Input(112, 112, "RGB", (127.5, 127.5, 127.5), 128.0),
        crop=ARCFACE_112,
        dim=DIM,
        parameters=48 * DIM,
        licence=Licence("Apache-2.0", "CC0-1.0", "none"),
        trained=None,
        measured={"squares": {"T→T" if role == "teacher" else "S→T": cell}},
        created="2026-11-22",
    )


def edit_card(folder: Path, **fields: object) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def model_id(folder: Path) -> str:
    return read_card(folder / "card.json").model_id


def settings(gallery: Path, model: Path | None, **options: object) -> Settings:
    return Settings(gallery=gallery, model=model and str(model), threads=1, **options)


def admission(room: int = 34, patience: float = PATIENCE) -> Admission:
    return Admission(room, patience)


def ticket(deadline: float = math.inf) -> Ticket:
    return Ticket(deadline)


def templates_of(engine: Engine, colour: Colour) -> list[Template]:
    """One, of a photo of this colour, by the active model."""
    view = engine.view(engine.gallery, ticket())
    embedding = view.one_face(lambda: photo(colour), "image").embedding
    return [Template(embedding, view.active.card.model_id)]


def make_key(gallery: Path, *scopes: str, collections: Sequence[str] = ()) -> str:
    """The text of a new API key of this gallery."""
    with open_store(gallery) as store:
        return Keyring(store).create(Grant("a test", scopes, collections), datetime.now(UTC))[1]


@contextmanager
def served(app: FastAPI, drain: int = 30) -> Iterator[str]:
    """The URL of an application on a real socket, for tests that need real concurrency."""
    server = uvicorn.Server(protocol(app, drain))
    with closing(bind("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def asking(url: str, data: bytes) -> "Iterator[Future[httpx.Response]]":
    """A request of another client's, under way while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(httpx.post, f"{url}/identify", files={"image": data}, timeout=PATIENCE)


def wait_until(holds) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
