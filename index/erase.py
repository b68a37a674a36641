"""`forget`, proved by bytes: what is stored of a Subject is found in the files first, and then in none of them.

Looked for are windows of every form in which a Template may lie: as it is stored (fp16, or sealed), in the clear as
fp16 and fp32, as the codes of the cache's segments; and the digest of its photo.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from index import subjects, templates
from index.backup import elsewhere
from index.collection import Collection
from index.contract import Receipt
from index.errors import ScanBlind
from index.exchange import opened
from index.gallery import open_gallery
from index.local import LocalGallery
from index.rows import Row
from index.sealing import Table
from index.subjects import NUMBER
from index.traces import Files, Needle, Trace, unseen

FP16: Final = "fp16"
FP32: Final = "fp32"
SEALED: Final = "sealed"
CODES: Final = "codes of the cache"
SOURCE: Final = "SHA-256 of the photo"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One form in which embeddings may lie: how many were looked for, and in which files how many were."""

    what: str
    sought: int
    before: dict[str, int]
    """Name of a file -> how many."""
    after: dict[str, int]


@dataclass(frozen=True, slots=True)
class Proof:
    receipt: Receipt
    sightings: list[Sighting]
    files: int
    """That were read afterwards."""
    untold: int
    """Needles that were not looked for, since nothing tells their bytes from others'."""
    shared: int
    """Embeddings of which somebody else has an equal one, of the same photo most likely: their bytes stay."""
    elsewhere: list[str]
    """Backups that were ever made outside our control: whether they are still there, we do not know."""

    @property
    def erased(self) -> bool:
        """In no file any more, as far as bytes can tell."""
        return self.receipt.erased_at is not None and not any(sighting.after for sighting in self.sightings)


def forget_and_prove(path: Path, subject_id: str, collection: str, *, actor: str = "cli") -> Proof:
    """Erase a Subject for good, and look for its bytes before and after. The store must not be open in this process.

    Raises ScanBlind before anything is deleted when bytes that are stored are not found; SubjectUnknown, and what
    opening a gallery raises.
    """
    with Files(path) as files, open_gallery(path, collection) as gallery:
        needles = gallery.store.read(lambda connection: list(_needles(connection, gallery, subject_id)))
        sought = [needle for needle in needles if needle.windows]
        before = files.search(sought)
        _require_sight(sought, before, path)
        receipt = gallery.forget(subject_id, actor=actor)
        left = files.search(sought)
        shared = gallery.store.read(lambda connection: _shared(connection, sought, left))
        after = [trace for trace in left if trace not in shared]
        proof = Proof(
            receipt,
            [_sighting(what, sought, before, after, path) for what in (FP16, SEALED, FP32, CODES, SOURCE)],
            len(files.paths()),
            len(needles) - len(sought),
            len({trace.number for trace in shared}),
            gallery.store.read(elsewhere),
        )
        body = {"sought": len(sought), "before": len(before), "after": len(after), "files": proof.files}
        gallery.store.audit(actor, "prove", collection=collection, subject_id=subject_id, body=body)
    return proof


def _needles(connection: sqlite3.Connection, gallery: LocalGallery, subject_id: str) -> Iterator[Needle]:
    """Template numbers are positive here, those of negative examples negative."""
    of = gallery.store.find(connection, gallery.collection)
    number = subjects.require(connection, of, subject_id)[NUMBER]
    photos = templates.rows_of(connection, of, number)
    for row in photos:
        yield from _embedding_needles(of, "templates", row, row[0])
        if row[3]:
            yield Needle.of(SOURCE, row[0], row[3].encode())
    for row in templates.negative_rows_of(connection, of, [number]):
        yield from _embedding_needles(of, "negatives", row, -row[0])
    for template, code in gallery.codes_of([row[0] for row in photos]):
        yield Needle.of(CODES, template, code)


def _embedding_needles(of: Collection, table: Table, row: Row, number: int) -> Iterator[Needle]:
    halves = opened(of, table, row)
    yield Needle.of(FP16, number, halves)
    yield Needle.of(FP32, number, np.frombuffer(halves, "<f2").astype("<f4").tobytes())
    if row[-2] != halves:
        yield Needle.of(SEALED, number, row[-2])


def _require_sight(sought: Sequence[Needle], before: Iterable[Trace], path: Path) -> None:
    """What is stored must be found, or not finding it later says nothing."""
    sealed = any(needle.what == SEALED for needle in sought)
    stored = [needle for needle in sought if needle.what == (SEALED if sealed else FP16)]
    in_store = [trace for trace in before if trace.file.name in (path.name, f"{path.name}-wal")]
    if blind := unseen(stored, in_store):
        raise ScanBlind(
            f"{len(blind)} of {len(stored)} stored embeddings were not found in the files of",
            str(path),
            "Nothing was deleted. Run index check, and forget without --verify.",
        )


def _shared(connection: sqlite3.Connection, sought: Sequence[Needle], left: Sequence[Trace]) -> set[Trace]:
    """Traces of what is gone that are of an equal in a row that stays."""
    windows = {needle.number: needle.windows for needle in sought if needle.what == FP16}
    sources = {needle.number: needle.windows for needle in sought if needle.what == SOURCE}
    return {
        trace
        for trace in left
        if (
            _held(connection, "source", sources[trace.number])
            if trace.what == SOURCE
            else _held(connection, "embedding", windows.get(trace.number, ()))
        )
    }


def _held(connection: sqlite3.Connection, column: str, windows: Sequence[bytes]) -> bool:
    tables = ("templates",) if column == "source" else ("templates", "negatives")
    select = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE instr(CAST({column} AS BLOB), ?1)" for table in tables)  # noqa: S608
    return any(connection.execute(select, (window,)).fetchone() for window in windows)


def _sighting(
    what: str, sought: Sequence[Needle], before: Iterable[Trace], after: Iterable[Trace], path: Path
) -> Sighting:
    def counted(traces: Iterable[Trace]) -> dict[str, int]:
        return dict(Counter(str(trace.file.relative_to(path.parent)) for trace in traces if trace.what == what))

    return Sighting(what, sum(needle.what == what for needle in sought), counted(before), counted(after))
