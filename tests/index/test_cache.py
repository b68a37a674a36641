"""The cache: the same answers whether it is made from the store, from snapshot files, or laid out anew meanwhile."""

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from index import cache, compaction, operations, scrub, snapshots
from index.errors import CollectionUnknown, GalleryCorrupt
from index.gallery import LocalGallery, create_gallery, open_gallery
from index.snapshots import SnapshotFiles, folder_of
from index.store import open_store
from tests.index.cached import answers, enrol, folder, model_of, rebuilds
from tests.index.fakes import EAST, SPACE, random_rows


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few rows, so that few Templates are many of them."""
    monkeypatch.setattr(compaction, "FEWEST", 8)
    monkeypatch.setattr(cache, "FEWEST", 8)
    monkeypatch.setattr(compaction, "SEGMENT_ROWS", 32)
    monkeypatch.setattr(compaction, "ERASING", compaction.Rule(delta=32, dead=0.0))


@pytest.fixture
def kept(path: Path) -> Path:
    """A closed store with snapshot files of 40 Subjects, and two Subjects that came later."""
    with create_gallery(path, SPACE) as gallery:
        enrol(gallery, *range(40))
        gallery.compact()
        enrol(gallery, 40, 41)
    return path


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The cache had nothing to complain of."""
    with caplog.at_level(logging.WARNING):
        yield
    assert caplog.records == []


class TestFiles:
    def test_a_small_gallery_has_none(self, path):
        with create_gallery(path, SPACE) as gallery:
            enrol(gallery, 1)
            gallery.forget("s1")
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    @pytest.mark.usefixtures("quiet")
    def test_a_store_opens_from_them_and_takes_in_what_came_later(self, kept, monkeypatch):
        made = rebuilds(monkeypatch)
        with open_gallery(kept) as gallery:
            assert answers(gallery) == answers(model_of(*range(42)))
            assert gallery.check() == []
        assert made == []
        assert folder(kept) == [".json", ".segment", "lock"]

    @pytest.mark.usefixtures("quiet")
    def test_what_was_erased_and_merged_since_is_taken_in_too(self, kept, monkeypatch):
        with open_gallery(kept) as gallery:
            gallery.merge("s3", "s4")
            monkeypatch.setattr(gallery.store, "scrub", lambda _: (False, ()))
            gallery.forget("s5")
            gallery.store.write(lambda c: c.execute("UPDATE store SET scrub_pending = 0").close())  # as if it were done
            expected = answers(gallery)
        made = rebuilds(monkeypatch)
        with open_gallery(kept) as gallery:
            assert answers(gallery) == expected
            assert gallery.check() == []
        assert made == []

    @pytest.mark.parametrize("suffix", [".json", ".segment"])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda file: file.unlink(),
            lambda file: file.write_bytes(b""),
            lambda file: file.write_bytes(file.read_bytes()[:-1]),
            lambda file: flip(file, 0),
            lambda file: flip(file, file.stat().st_size // 2),
            lambda file: flip(file, file.stat().st_size - 1),
        ],
        ids=["gone", "empty", "cut", "first byte", "middle byte", "last byte"],
    )
    def test_a_damaged_one_is_noticed_and_the_cache_made_anew(self, kept, suffix, damage, caplog, monkeypatch):
        (file,) = folder_of(kept).glob(f"*{suffix}")
        damage(file)
        made = rebuilds(monkeypatch)
        with open_gallery(kept) as gallery:
            assert answers(gallery) == answers(model_of(*range(42)))
            assert gallery.check() == []
        assert made == [1]
        assert "made again from the store" in caplog.text

    def test_a_bit_flipped_anywhere_changes_no_answer(self, kept):
        rng = np.random.default_rng(7)
        for file in folder_of(kept).glob("*.*"):
            whole = file.read_bytes()
            for offset in rng.integers(0, len(whole), 12):
                flip(file, int(offset))
                with open_gallery(kept) as gallery:
                    assert answers(gallery) == answers(model_of(*range(42)))
                file.write_bytes(whole)

    def test_they_are_read_while_the_store_is_looked_over(self, kept, monkeypatch):
        readers: list[str] = []
        read = snapshots.read_segment

        def noted(path: Path):
            readers.append(threading.current_thread().name.partition("_")[0])
            return read(path)

        monkeypatch.setattr(snapshots, "read_segment", noted)
        with open_gallery(kept) as gallery:
            assert answers(gallery) == answers(model_of(*range(42)))
        assert set(readers) == {"read ahead"}

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"segments": [{"file": "../../nothing"}, 3]}'])
    def test_a_manifest_that_is_nonsense_is_not_followed(self, kept, content):
        (manifest,) = folder_of(kept).glob("*-manifest.json")
        manifest.write_bytes(content)
        with open_gallery(kept) as gallery:
            assert answers(gallery) == answers(model_of(*range(42)))

    def test_files_of_another_history_of_the_store_are_not_taken_for_its_own(self, kept, tmp_path, caplog):
        backup = shutil.copy(kept, tmp_path / "backup")
        with open_gallery(kept) as gallery:
            gallery.forget("s7")
            enrol(gallery, 100, 101)
            gallery.compact()
        shutil.copy(backup, kept)
        with open_gallery(kept) as gallery:
            enrol(gallery, 50)
            assert answers(gallery) == answers(model_of(*range(42), 50))
            assert gallery.check() == []
        assert "not the one that the store knows" in caplog.text

    def test_what_was_forgotten_is_in_none_of_them_and_they_still_serve(self, kept, monkeypatch):
        needles = [row.astype("<f2").tobytes() for row in random_rows(3, seed=7)]
        assert all(needle in contents(kept) for needle in needles)
        with open_gallery(kept) as gallery:
            assert gallery.forget("s7").erased_at
            assert not any(needle in contents(kept) for needle in needles)
        made = rebuilds(monkeypatch)
        with open_gallery(kept) as gallery:
            assert "s7" not in {found.subject_id for found in gallery.search(EAST[None], 99, space=SPACE)[0]}
            assert gallery.check() == []
        assert made == []

    def test_they_go_when_everybody_is_forgotten(self, kept):
        with open_gallery(kept) as gallery:
            for subject in gallery.subjects(99):
                gallery.forget(subject.subject_id)
        assert folder(kept) == ["lock"]

    def test_a_process_that_lags_behind_does_not_write_back_what_was_forgotten(self, kept):
        needles = [row.astype("<f2").tobytes() for row in random_rows(3, seed=7)]
        with open_gallery(kept) as behind, open_gallery(kept) as gallery:
            gallery.forget("s7")
            behind.compact()
            assert not any(needle in contents(kept) for needle in needles)

    def test_somebody_who_keeps_the_files_delays_the_erasure(self, kept, monkeypatch):
        monkeypatch.setattr(scrub, "WAIT", 0.0)
        with open_gallery(kept) as gallery:
            with SnapshotFiles(kept, gallery.store.store_id, 1).locked(0) as mine:
                assert mine
                assert gallery.forget("s7").erased_at is None
                assert len(gallery.check()) == 1
            gallery.forget("s8")
            assert gallery.check() == []

    def test_a_collection_may_be_deleted_by_another_process_while_they_are_written(self, kept, monkeypatch):
        save = SnapshotFiles.save
        with open_gallery(kept) as gallery, open_store(kept) as other:
            monkeypatch.setattr(other, "scrub", Mock(return_value=(True, ())))  # it waits for the files
            monkeypatch.setattr(SnapshotFiles, "save", lambda *of: (save(*of), other.delete_collection("default"))[0])
            gallery.compact()
            with pytest.raises(CollectionUnknown):
                answers(gallery)

    def test_a_folder_that_cannot_be_written_is_a_warning_and_no_more(self, path, monkeypatch, caplog):
        with create_gallery(path, SPACE) as gallery:
            enrol(gallery, *range(10))
            monkeypatch.setattr(Path, "mkdir", refuse)
            gallery.compact()
            assert answers(gallery) == answers(model_of(*range(10)))
        assert "snapshot files cannot be written" in caplog.text

    def test_leftovers_of_a_process_that_died_are_removed(self, kept):
        leftover = folder_of(kept) / "1-12345.part"
        leftover.write_bytes(b"embeddings")
        with open_gallery(kept) as gallery:
            gallery.forget("s7")
        assert not leftover.exists()


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 4
    file.write_bytes(data)


def refuse(*_arguments: object, **_options: object) -> None:
    raise OSError(30, os.strerror(30))


def contents(path: Path) -> bytes:
    files = [*path.parent.glob(path.name + "*"), *folder_of(path).iterdir()]
    return b"".join(file.read_bytes() for file in files if file.is_file())


class TestLog:
    def test_a_cache_that_is_further_behind_than_the_log_reaches_is_made_anew(self, kept, monkeypatch):
        monkeypatch.setattr(operations, "KEPT", 2)
        monkeypatch.setattr(operations, "_PRUNE_EVERY", 1)
        with open_gallery(kept) as behind:
            with open_gallery(kept) as gallery:
                enrol(gallery, 50, 51)
                assert gallery.store.read(lambda c: c.execute("SELECT count(*) FROM operations").fetchone()) == (2,)
            made = rebuilds(monkeypatch)
            assert answers(behind) == answers(model_of(*range(42), 50, 51))
            assert made == [1]

    def test_a_collection_in_which_nothing_happens_keeps_its_cache(self, path, monkeypatch):
        monkeypatch.setattr(operations, "KEPT", 5)
        monkeypatch.setattr(operations, "_PRUNE_EVERY", 1)
        with create_gallery(path, SPACE) as gallery:
            enrol(gallery, 1, 2)
            gallery.store.create_collection("busy", SPACE)
            enrol(gallery.store.gallery("busy"), *range(5))
            made = rebuilds(monkeypatch)
            gallery.forget("s1")
            assert answers(gallery)[0][0][0] == "s2"
            assert made == []

    def test_a_log_that_leaves_something_out_is_noticed(self, kept, monkeypatch, caplog):
        with open_gallery(kept) as gallery:
            monkeypatch.setattr(operations, "moves_since", lambda *_: [])
            made = rebuilds(monkeypatch)
            gallery.forget("s7")
            assert "s7" not in {found.subject_id for found in gallery.search(EAST[None], 99, space=SPACE)[0]}
            assert made
        assert "does not follow from its log" in caplog.text

    def test_counts_that_do_not_fit_the_rows_stop_the_opening(self, path):
        with create_gallery(path, SPACE) as gallery:
            enrol(gallery, 1)
            gallery.store.write(lambda c: c.execute("UPDATE tallies SET templates = 4").close())
        with pytest.raises(GalleryCorrupt, match="3 Templates, where 4 were counted"):
            open_gallery(path)


@pytest.mark.usefixtures("small")
class TestCompaction:
    def test_it_changes_no_answer(self, gallery):
        model = model_of(*range(30))
        for n in range(30):
            enrol(gallery, n)
            gallery.compact()
            assert answers(gallery)[0] == answers(model_of(*range(n + 1)))[0]
        assert answers(gallery) == answers(model)
        assert gallery.check() == []

    def test_segments_stay_few_and_no_larger_than_they_may_be(self, gallery):
        for n in range(40):
            enrol(gallery, n)
            gallery.compact()
        sizes = [len(part.rows) for part in gallery._cache.current().segments]
        assert sum(sizes) == 120
        assert max(sizes) <= 32
        assert len(sizes) <= 10

    def test_the_background_keeps_the_delta_small(self, gallery):
        for n in range(60):
            enrol(gallery, n)
        worker = gallery._cache._worker
        assert worker is not None
        worker.join()
        snapshot = gallery._cache.current()
        assert len(snapshot.delta.rows) < 60
        assert snapshot.living == 180
        assert answers(gallery) == answers(model_of(*range(60)))

    def test_what_comes_as_the_background_ends_is_not_left_lying(self, gallery, monkeypatch):
        ending, come, look = threading.Event(), threading.Event(), cache.plan

        def last_look(snapshot, rule):
            found = look(snapshot, rule)
            if not (found or ending.is_set()) and threading.current_thread().name.startswith("compaction"):
                ending.set()
                come.wait(1)  # a writer who meanwhile sees to the background waits for it
            return found

        monkeypatch.setattr(cache, "plan", last_look)
        for n in range(20):
            enrol(gallery, n)
            assert n < 3 or ending.wait(60)
        come.set()
        gallery._cache._worker.join()
        snapshot = gallery._cache.current()
        assert not look(snapshot, compaction.due(snapshot))

    def test_erased_rows_leave_memory(self, gallery):
        enrol(gallery, *range(40))
        gallery.compact()
        enrol(gallery, 40)
        for gone in ("s3", "s20", "s40"):
            gallery.forget(gone)
        assert all(part.alive is None for part in gallery._cache.current().parts)
        assert answers(gallery) == answers(model_of(*sorted({*range(41)} - {3, 20, 40})))

    def test_what_happens_while_it_works_is_carried_over(self, gallery, monkeypatch):
        monkeypatch.setattr(gallery._cache, "_compact_soon", lambda: None)
        enrol(gallery, *range(10))
        build = cache.build

        def interrupted(snapshot, group):
            built = build(snapshot, group)
            monkeypatch.setattr(cache, "build", build)
            monkeypatch.setattr(gallery.store, "scrub", lambda _: (False, ()))
            gallery.forget("s2")
            gallery.merge("s3", "s4")
            enrol(gallery, 10)
            return built

        monkeypatch.setattr(cache, "build", interrupted)
        gallery.compact()
        assert gallery._cache.faults() == []
        found = {hit.subject_id for hit in gallery.search(EAST[None], 99, space=SPACE)[0]}
        assert found == {f"s{n}" for n in range(11)} - {"s2", "s3"}

    def test_searches_are_right_while_it_goes_on(self, gallery):
        enrol(gallery, *range(20))
        expected = answers(model_of(*range(20)))
        begun, done = threading.Barrier(5), threading.Event()

        def search() -> None:
            assert answers(gallery) == expected
            begun.wait(60)
            while not done.is_set():
                assert answers(gallery) == expected

        with ThreadPoolExecutor(4) as pool:
            searching = [pool.submit(search) for _ in range(4)]
            try:
                begun.wait(60)
                for _ in range(30):
                    gallery.compact()
            finally:
                done.set()
            for future in searching:
                future.result()


def test_a_subject_forgotten_between_search_and_answer_is_searched_for_anew(gallery: LocalGallery, monkeypatch):
    enrol(gallery, 1, 2)
    named, once = gallery._named, [lambda: gallery.forget("s1")]

    def late(probes, found):
        if once:
            once.pop()()
        return named(probes, found)

    monkeypatch.setattr(gallery, "_named", late)
    assert [hit.subject_id for hit in gallery.search(EAST[None], 5, space=SPACE)[0]] == ["s2"]
