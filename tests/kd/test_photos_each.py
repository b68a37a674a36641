"""A run of people with so many photos each: what it shares with other runs, and what is said of it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from faces.space import Licence
from kd.checkpoint import own_classifier, student_weights
from kd.classifier.files import read_rows
from kd.distil import distil
from kd.export import export

LICENCE = Licence("Apache-2.0", "CC0-1.0", "drawn for a test")


@pytest.fixture
def uneven(people, tmp_path):
    """The first person has two photos, the others have six."""
    shutil.copytree(people, tmp_path / "uneven")
    for photo in sorted((tmp_path / "uneven" / "person-0").iterdir())[2:]:
        photo.unlink()
    return tmp_path / "uneven"


def test_a_run_learns_the_same_whatever_runs_of_other_people_left_in_the_folder_that_they_share(
    config, uneven, tmp_path
):
    everybody = config(photos=(str(uneven),), epochs=2)
    some = replace(everybody, viewing=replace(everybody.viewing, photos_each=(6, None)))
    distil(everybody, tmp_path / "everybody", tell=print, data=tmp_path / "shared")
    distil(some, tmp_path / "shares", tell=print, data=tmp_path / "shared")
    distil(some, tmp_path / "alone", tell=print)
    shares, alone = student_weights(tmp_path / "shares"), student_weights(tmp_path / "alone")
    assert all(torch.equal(shares[name], alone[name]) for name in alone)


def test_the_card_counts_the_photos_and_epochs_of_the_run(config, uneven, tmp_path):
    distil(config(photos=(str(uneven),), photos_each=(6, None), epochs=10), tmp_path / "run", tell=print)
    trained = export(tmp_path / "run", tmp_path / "model", name="small", licence=LICENCE).trained
    assert (trained.images, trained.epochs) == (12, 10)


def test_a_teacher_hands_on_class_weights_of_the_people_it_has_seen_alone(config, uneven, tmp_path):
    settings = config(photos=(str(uneven),), photos_each=(6, None), teacher=None, method="none", dim=8, epochs=1)
    distil(settings, tmp_path / "run", tell=print)
    export(tmp_path / "run", tmp_path / "model", name="small", licence=LICENCE)
    rows = read_rows(tmp_path / "model")
    assert rows.names == ("person-1", "person-2")
    assert np.array_equal(rows.weights, own_classifier(tmp_path / "run")[1:])
