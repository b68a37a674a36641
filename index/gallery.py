"""A gallery: the Templates of one Space, and who is nearest to a probe. What the other packages import from."""

from pathlib import Path
from typing import Final

from faces.space import Space
from index.collection import By
from index.contract import (
    Candidate,
    Enrolment,
    Gallery,
    GalleryStats,
    Receipt,
    Subject,
    SubjectDetails,
    Template,
    TemplateInfo,
    require_subject_id,
    unit_rows,
    utc_now,
)
from index.local import LocalGallery
from index.migrate import DEFAULT
from index.store import Engine, Store, create_store, open_store
from index.subjects import KEEP, Keep

__all__ = [
    "DEFAULT",
    "KEEP",
    "SUFFIX",
    "By",
    "Candidate",
    "Enrolment",
    "Gallery",
    "GalleryStats",
    "Keep",
    "LocalGallery",
    "Receipt",
    "Subject",
    "SubjectDetails",
    "Template",
    "TemplateInfo",
    "create_gallery",
    "open_gallery",
    "open_or_create_gallery",
    "require_subject_id",
    "unit_rows",
    "utc_now",
]

SUFFIX: Final = ".heirloom"


def create_gallery(path: Path, space: Space, collection: str = DEFAULT) -> LocalGallery:
    """A new store with one collection. Raises GalleryExists, GalleryUnavailable."""
    return _opened(create_store(path, {collection: space}), collection)


def open_gallery(path: Path, collection: str = DEFAULT, *, engine: Engine | None = None) -> LocalGallery:
    """A collection of the store in this file, checked row by row, or loaded from its snapshot files.

    engine: what searches, see `open_store` and `index.device`.
    Raises GalleryMissing, GalleryForeign, GalleryCorrupt or GalleryUnavailable, and such a file is left as it is; or
    CollectionUnknown.
    """
    return _opened(open_store(path, engine=engine, at_once=True), collection)


def open_or_create_gallery(path: Path, space: Space, collection: str = DEFAULT) -> LocalGallery:
    """The collection of the store in this file; either is made where it is missing.

    Raises what these two raise, and SpaceMismatch.
    """
    if not path.exists():
        return create_gallery(path, space, collection)
    return _opened(open_store(path, at_once=True), collection, space)


def _opened(store: Store, collection: str, space: Space | None = None) -> LocalGallery:
    """The collection, which is made if there is none and a Space to give it. The store is closed on errors."""
    try:
        if space is not None and collection not in {known.name for known in store.collections()}:
            store.create_collection(collection, space)
        gallery = store.gallery(collection, closes_store=True)
        if space is not None:
            gallery.require_space(space)
    except BaseException:
        store.close()
        raise
    return gallery
