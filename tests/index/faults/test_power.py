"""What this project does itself so that a power cut takes back nothing that was answered; the rest is SQLite's."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.gallery import create_gallery, open_gallery
from index.snapshots import folder_of
from tests.index.fakes import SPACE, random_rows, templates

Event = tuple[str, Path]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Each file that was synced or removed, or took another's place, in order; of a folder that was synced, itself."""
    seen: list[Event] = []

    def told(what: str, act: Callable[..., Any], path_of: Callable[..., Path]) -> Callable[..., Any]:
        def instead(*arguments: Any, **options: Any) -> Any:
            seen.append((what, path_of(*arguments)))
            return act(*arguments, **options)

        return instead

    monkeypatch.setattr(os, "fsync", told("sync", os.fsync, lambda handle: Path(f"/proc/self/fd/{handle}").readlink()))
    monkeypatch.setattr(os, "link", told("name", os.link, lambda _, name: Path(name)))
    monkeypatch.setattr(Path, "replace", told("name", Path.replace, lambda _, name: Path(name)))
    monkeypatch.setattr(Path, "unlink", told("remove", Path.unlink, lambda path: path))
    return seen


def require_folder_synced_after(events: list[Event], what: str, folder: Path) -> None:
    changes = [at for at, (kind, path) in enumerate(events) if kind == what and path.parent == folder]
    synced = [at for at, event in enumerate(events) if event == ("sync", folder)]
    assert changes
    assert max(changes) < max(synced)


def test_a_new_store_has_its_name_for_good(path: Path, events: list[Event]) -> None:
    create_gallery(path, SPACE).close()
    require_folder_synced_after(events, "name", path.parent)


def test_a_snapshot_file_is_synced_before_it_takes_its_name_and_that_after(path: Path, events: list[Event]) -> None:
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(*random_rows(3)), space=SPACE)
        gallery.compact()
    named = [at for at, (what, file) in enumerate(events) if what == "name" and file.parent == folder_of(path)]
    parts = [at for at, (what, file) in enumerate(events) if what == "sync" and file.suffix == ".part"]
    assert min(parts) < min(named)
    require_folder_synced_after(events, "name", folder_of(path))


def test_what_was_acknowledged_as_erased_stays_erased(path: Path, events: list[Event]) -> None:
    with create_gallery(path, SPACE) as gallery:
        for subject in ("ada", "bob"):
            gallery.enrol(subject, templates(*random_rows(3)), space=SPACE)
        gallery.compact()
        events.clear()
        assert gallery.forget("ada").erased_at
        require_folder_synced_after(events, "remove", folder_of(path))
        assert ("sync", path.with_name(path.name + "-wal")) in events


def test_the_settings_that_make_sqlite_keep_its_promise_are_those_of_every_connection(path: Path) -> None:
    create_gallery(path, SPACE).close()
    with open_gallery(path) as gallery:
        for job in (gallery.store.read, gallery.store.write):
            assert job(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (2,)
            assert job(lambda connection: connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
