"""What is in a store's file, beside one collection and around it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from index import audit, backup, snapshots
from index.connection import beside
from index.contract import Search
from index.local import LocalGallery
from index.recall import Approximation
from index.store import Store


@dataclass(frozen=True, slots=True)
class StoreState:
    collections: dict[str, int]
    """Name -> Templates."""
    sealed: str
    """Id of the key; empty: embeddings are in the clear."""
    bytes: dict[str, int]
    """Of the file with its log, of the cache, of the backups under our control."""
    backups: list[Path]
    """Under our control, oldest first."""
    log: str
    """Head of the audit log."""
    pending: int
    """Deletions whose bytes are to be overwritten still."""


@dataclass(frozen=True, slots=True)
class Overview:
    subjects: int
    templates: int
    version: int
    space_id: str
    models: dict[str, int]
    """Templates by the model_id that made them."""
    search: Search
    """Whether somebody may be missed."""
    approximation: Approximation | None
    """From which size on, and on what grounds; None: never."""
    store: StoreState


def overview(gallery: LocalGallery) -> Overview:
    return Overview(**asdict(gallery.stats()), approximation=gallery.approximation(), store=_state(gallery.store))


def check(store: Store) -> list[str]:
    """What is wrong with any collection, its cache or a backup, as sentences; empty when nothing is."""
    found = [fault for known in store.collections() for fault in store.gallery(known.name).check()]
    return list(dict.fromkeys(found or store.faults()))


def _state(store: Store) -> StoreState:
    path = store.path
    return StoreState(
        {known.name: known.templates for known in store.collections()},
        store.sealing.state,
        {
            "store": sum(_size(beside(path, ending)) for ending in ("", "-wal", "-shm")),
            "cache": sum(map(_size, snapshots.folder_of(path).glob("*"))),
            "backups": sum(map(_size, backup.backups(path))),
        },
        backup.backups(path),
        str(store.read(audit.head)),
        store.scrub_pending(),
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # the log and the cache come and go
        return 0
