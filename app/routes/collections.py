"""Collections: galleries of their own in one store."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path

from app.envelope import problems
from app.errors import CollectionNeeded
from app.routes.examples import INVALID, NO_COLLECTION, NOT_STORED, READING
from app.routes.guarded import Guarded, guarded_problems
from app.routes.service import ByDep, ServiceDep
from app.schemas_gallery import CollectionAnswer, CollectionReceipt, CollectionRequest, CollectionsAnswer
from app.security import require
from index.errors import CollectionExists, CollectionInvalid, CollectionUnknown
from index.store import Store

router = APIRouter(prefix="/v1/collections", tags=["collections"], route_class=Guarded, responses=guarded_problems())

_Named = Annotated[str, Path(alias="collection", max_length=500, description="A collection's name.")]
_NEEDED: Final = CollectionNeeded("the service answers from this collection", "default", "Delete its Subjects.")


@router.get(
    "", dependencies=[Depends(require("identify", "enrol", "admin", everywhere=True))], responses=problems(*READING)
)
def list_collections(service: ServiceDep) -> CollectionsAnswer:
    """All of them, by name; for keys that are for all of them."""
    return CollectionsAnswer(collections=[CollectionAnswer.of(info) for info in _store(service).collections()])


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(require("admin", everywhere=True))],
    responses=problems(
        INVALID,
        CollectionExists("there is a collection of this name", "visitors", "Choose another name."),
        CollectionInvalid("not a name of a collection", " ", "Give 1 to 500 characters on one line."),
        NOT_STORED,
    ),
)
def create_collection(asked: CollectionRequest, service: ServiceDep, by: ByDep) -> CollectionAnswer:
    """A new, empty one, of the Space of the model that is active. Durable when it is answered."""
    store, space = _store(service), service.engine.switch.models.active.card.space
    store.create_collection(asked.name, space, actor=by)
    return _answer(store, asked.name)


@router.get(
    "/{collection}",
    dependencies=[Depends(require("identify", "enrol", "admin"))],
    responses=problems(*READING),
)
def get_collection(name: _Named, service: ServiceDep) -> CollectionAnswer:
    """How many Subjects and Templates it has, and of which Space."""
    return _answer(_store(service), name)


@router.delete(
    "/{collection}",
    dependencies=[Depends(require("admin"))],
    responses=problems(INVALID, NO_COLLECTION, _NEEDED, NOT_STORED),
)
def delete_collection(name: _Named, service: ServiceDep, by: ByDep) -> CollectionReceipt:
    """Delete a collection and everybody in it for good."""
    engine, store = service.engine, _store(service)
    if name == engine.gallery.collection:
        raise CollectionNeeded(_NEEDED.what, name, _NEEDED.remedy)
    known = _answer(store, name)
    erased = store.delete_collection(name, actor=by)
    engine.thresholds.forget(name)
    engine.changeover.forget_collection(name)
    return CollectionReceipt(name=name, subjects=known.subjects, templates=known.templates, erased=erased)


def _store(service: ServiceDep) -> Store:
    return service.engine.gallery.store


def _answer(store: Store, name: str) -> CollectionAnswer:
    """Nothing of the collection is loaded: it may be damaged. Raises CollectionUnknown."""
    for info in store.collections():
        if info.name == name:
            return CollectionAnswer.of(info)
    raise CollectionUnknown(NO_COLLECTION.what, name, NO_COLLECTION.remedy)
