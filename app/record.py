"""What is done with models goes on record before it is done: who, what, to which model."""

from collections.abc import Callable, Mapping

from index.gallery import LocalGallery

Record = Callable[[str, str, Mapping[str, str | int | float | None]], None]
"""(actor, action, body): durable when it returns. A body holds ids, counts and rates; no photo, vector or name."""


def recorder(gallery: LocalGallery) -> Record:
    """The audit log of the gallery's store."""

    def record(actor: str, action: str, body: Mapping[str, str | int | float | None]) -> None:
        gallery.store.audit(actor, action, collection=gallery.collection, body=body)

    return record
