"""What CompreFace's routes take of a photo, and how they tell of its faces."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile

from app import compreface as said
from app.errors import FaceNotFound
from app.routes.parameters import bytes_of
from app.view import Read, View
from index.identify import Looked

Answer = dict[str, Any]


def _photo(field: str) -> Callable[[Request], AsyncIterator[Read]]:
    """A dependency: the photo in this field of a form, or of JSON in base64."""

    async def photo(request: Request) -> AsyncIterator[Read]:
        if request.headers.get("content-type", "").startswith("application/json"):
            try:
                body = await request.json()
            except (ValueError, RecursionError):  # the latter of brackets within brackets
                raise said.refusal("body", "not JSON") from None
            data = said.photo_of(body.get(field) if isinstance(body, dict) else None, field)
            yield lambda: data
            return
        async with request.form() as form:
            upload = form.get(field)
            if not isinstance(upload, UploadFile):
                raise RequestValidationError([{"type": "missing", "loc": ("body", field), "msg": "Field required"}])
            yield bytes_of(upload)

    return photo


File = Annotated[Read, Depends(_photo("file"))]
Source = Annotated[Read, Depends(_photo("source_image"))]
Target = Annotated[Read, Depends(_photo("target_image"))]


@dataclass(frozen=True, slots=True)
class Options:
    """What every look at a photo may be asked with."""

    limit: Annotated[int, Query(ge=0)] = 0
    det_prob_threshold: Annotated[float, Query(ge=0, le=1)] = 0.0
    face_plugins: Annotated[str, Query(max_length=500)] = ""
    status: bool = False
    detect_faces: bool = True


OptionsDep = Annotated[Options, Depends()]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The faces that the caller wants of a photo, the largest first, and how to tell of them."""

    view: View
    looked: Looked
    numbers: list[int]
    plugins: set[str]
    status: bool

    def embedded(self) -> Any:
        return self.view.stages.embed(self.looked.crops[self.numbers])

    def face(self, number: int, vector: Any = None, **more: Any) -> Answer:
        face = self.looked.faces[number]
        answer = {"box": said.box(face), **more}
        if "landmarks" in self.plugins:
            answer["landmarks"] = said.landmarks(face)
        if "calculator" in self.plugins and vector is not None:
            answer["embedding"] = vector.tolist()
        if self.status:
            laps = self.view.stages.laps
            answer["execution_time"] = {"detector": laps.get("detect", 0.0), "calculator": laps.get("embed", 0.0)}
        return answer

    def answer(self, result: list[Answer]) -> Answer:
        if not self.status:
            return {"result": result}
        versions = {"detector": "mtcnn", "calculator": self.view.active.card.name}
        return {"result": result, "plugins_versions": versions}


def shown_faces(view: View, read: Read, options: Options, field: str = "file") -> Shown:
    """Raises FaceNotFound when no face is left."""
    plugins = said.plugins_of(options.face_plugins)
    if not options.detect_faces:
        raise said.refusal("detect_faces", "not supported: faces are always looked for")
    looked = view.look(read)
    seen = [number for number, face in enumerate(looked.faces) if face.score >= options.det_prob_threshold]
    if not seen:
        raise FaceNotFound("No face is found in the given image", field, "Send another one.")
    seen.sort(key=lambda number: -_area(looked.faces[number].box))
    return Shown(view, looked, seen[: options.limit or None], plugins, options.status)


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
