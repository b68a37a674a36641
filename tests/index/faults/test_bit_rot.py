"""Flipped bits: found in snapshot files, which are made again; in the store refused or reported; no wrong answer."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faces.errors import FacesError
from index.gallery import LocalGallery, SubjectDetails, create_gallery, open_gallery
from index.snapshots import folder_of
from index.threshold import Threshold
from tests.index.fakes import SPACE, TEACHER_ID, random_rows, templates

PROBES = random_rows(9, seed=99)
AMOUNTS = [60, pytest.param(3000, marks=pytest.mark.nightly)]


@pytest.fixture
def whole(path: Path) -> Path:
    """A closed store with snapshot files, a few Subjects that came later, and all else that answers rest on."""
    with create_gallery(path, SPACE) as gallery:
        for n in range(30):
            gallery.enrol(f"s{n}", templates(*random_rows(3, seed=n), source=f"{n:064x}"), space=SPACE, name=f"N{n}")
        gallery.compact()
        gallery.update_subject(
            "s1", details=lambda _: SubjectDetails(consent="2026-07"), expires=datetime(2031, 1, 1, tzinfo=UTC)
        )
        gallery.add_negative("s2", PROBES[0], space=SPACE, model_id=TEACHER_ID)
        gallery.merge("s3", "s4")
        gallery.put_thresholds([Threshold(0.42, 0.01, 30, TEACHER_ID, "gallery", "2026-11-28")])
    return path


def all_that_it_says(gallery: LocalGallery) -> list[Any]:
    subjects, stats = gallery.subjects(100), gallery.stats()
    return [
        gallery.search(PROBES, 40, space=SPACE),
        subjects,
        [gallery.templates(subject.subject_id) for subject in subjects],
        gallery.best(PROBES, "s2", space=SPACE),
        gallery.negatives("s2"),
        gallery.thresholds(TEACHER_ID),
        (stats.subjects, stats.templates, stats.models),
    ]


def flips(data: bytes, amount: int, seed: int) -> Iterator[bytes]:
    """The same with one bit flipped, so many times; half of the places are where something is written."""
    dice = np.random.default_rng(seed)
    written = np.flatnonzero(np.frombuffer(data, np.uint8))
    places = np.concatenate([dice.integers(0, len(data), amount // 2), dice.choice(written, amount - amount // 2)])
    for place, bit in zip(places.tolist(), dice.integers(0, 8, amount).tolist(), strict=True):
        yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_bit_of_a_snapshot_file_is_found_and_the_file_made_again(whole: Path, amount: int, caplog: Any) -> None:
    with open_gallery(whole) as gallery:
        expected = all_that_it_says(gallery)
    files = [file for file in folder_of(whole).iterdir() if file.suffix]
    assert sorted(file.suffix for file in files) == [".json", ".segment"]
    for seed, file in enumerate(files):
        data = file.read_bytes()
        for damaged in flips(data, amount // 2, seed):
            file.write_bytes(damaged)
            caplog.clear()
            with open_gallery(whole) as gallery:
                assert all_that_it_says(gallery) == expected
            assert "made again from the store" in caplog.text
            file.write_bytes(data)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_bit_of_the_store_is_refused_or_reported_or_changes_no_answer(whole: Path, amount: int) -> None:
    with open_gallery(whole) as gallery:
        expected = all_that_it_says(gallery)
    shutil.rmtree(folder_of(whole))
    data, noticed = whole.read_bytes(), 0
    for damaged in flips(data, amount, seed=5):
        whole.write_bytes(damaged)
        problems, found = looked_at(whole)
        noticed += bool(problems)
        assert problems or found == expected
    assert noticed > amount / 4


def looked_at(path: Path) -> tuple[list[str], list[Any]]:
    """What is reported, and what it says all the same."""
    try:
        with open_gallery(path) as gallery:
            return gallery.check(), all_that_it_says(gallery)
    except FacesError as error:
        return [str(error)], []
