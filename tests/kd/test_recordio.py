"""InsightFace's record files: every image that can be read is found, and what cannot be read is said."""

import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faces.errors import FacesError, ImageRefused
from kd.data.crops import RIM, SIDE
from kd.data.recordio import RecordCrops, scan_records
from kd.errors import DataUnusable
from tests.kd.record_files import MAGIC, encoded, record, write_records

IMAGES = {key: record(key % 3, image=encoded(key)) for key in range(1, 6)}


def crops_of(path):
    found = scan_records(path)
    return RecordCrops(path, found.header, found.offsets)


def pixels(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def test_every_image_is_found_with_its_label(tmp_path):
    found = scan_records(write_records(tmp_path / "train.rec", IMAGES))
    assert found.labels.tolist() == [1, 2, 0, 1, 2]
    assert found.skipped == ()


def test_an_image_is_decoded_when_it_is_asked_for_with_a_rim_around_it(tmp_path):
    crops = crops_of(write_records(tmp_path / "train.rec", IMAGES))
    assert len(crops) == 5
    assert crops[3].shape == (SIDE, SIDE, 3)
    assert np.array_equal(crops[3][RIM:-RIM, RIM:-RIM], pixels(encoded(4)))
    assert not crops[3][:RIM].any()


def test_past_the_last_image_there_is_none(tmp_path):
    with pytest.raises(IndexError):
        crops_of(write_records(tmp_path / "train.rec", IMAGES))[5]


def test_an_image_of_128_is_kept_as_it_is(tmp_path):
    (crop,) = crops_of(write_records(tmp_path / "train.rec", {0: record(0, image=encoded(1, SIDE))}))
    assert np.array_equal(crop, pixels(encoded(1, SIDE)))


@pytest.mark.parametrize("places", [(0,), (0, 4), (4, 8, 12), (1, 2, 3)])
def test_a_record_that_was_cut_at_the_magic_word_is_joined_by_it(tmp_path, places):
    comment = bytearray(64)
    for place in places:
        comment[place : place + 4] = MAGIC
    file = encoded(1, kind="JPEG", comment=bytes(comment))
    start = file.index(b"\xff\xfe") + 4  # of the comment, past its marker and length
    jpeg = file[: start - 4] + (b"\xff\xee" + struct.pack(">H", 2 + -start % 4) + bytes(-start % 4)) + file[start - 4 :]
    payload = record(0, image=jpeg)  # an application segment before it moves the comment to a multiple of 4
    (crop,) = crops_of(write_records(tmp_path / "train.rec", {1: payload}))
    assert np.array_equal(crop[RIM:-RIM, RIM:-RIM], pixels(jpeg))


@pytest.mark.parametrize("wide", [False, True], ids=["IfQQ", "IdQQ"])
@pytest.mark.parametrize("labels", [(5,), (5, 9), (5, 9, 1)], ids=["one", "two", "three"])
@pytest.mark.parametrize("scalar", [True, False], ids=["scalar", "vector"])
def test_the_first_label_says_whom_it_shows(tmp_path, labels, scalar, wide):
    payload = record(*labels, image=encoded(1), scalar=scalar, wide=wide)
    found = scan_records(write_records(tmp_path / "train.rec", {1: payload}))
    assert (found.labels.tolist(), found.header) == ([5], "IdQQ" if wide else "IfQQ")


@pytest.mark.parametrize("off", [-1, 0, 1, 17_091_657])
def test_the_counts_of_record_0_are_not_believed(tmp_path, off):
    people = {6: record(1, 3), 7: record(3, 5), 8: record(5, 6)}  # each person's range of keys
    found = scan_records(write_records(tmp_path / "train.rec", {0: record(6 + off, 9 + off)} | IMAGES | people))
    assert found.labels.tolist() == [1, 2, 0, 1, 2]
    assert found.skipped == ()


def test_images_come_in_the_order_of_their_keys_whatever_the_order_on_disk(tmp_path):
    shuffled = {key: IMAGES[key] for key in (4, 2, 5, 1, 3)}
    assert scan_records(write_records(tmp_path / "train.rec", shuffled)).labels.tolist() == [1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (record(1, image=b"no picture"), "not a JPEG, PNG or WebP image"),
        (record(1, image=encoded(9)[:500]), "the file ends inside a chunk, after bytes"),
        (record(1, image=encoded(9, side=96)), "96×96 pixels are no aligned crop"),
        (record(1, image=encoded(9, side=250)), "a side of more than 128 pixels"),
        (record(1), "the file is empty"),
        (record(-1, image=encoded(9)), "-1.0 is nobody's label"),
        (record(0.5, image=encoded(9)), "0.5 is nobody's label"),
        (record(float("nan"), image=encoded(9)), "nan is nobody's label"),
        (b"short", "5 bytes are too few for a header"),
        (struct.pack("<IfQQ", 2**31, 0, 0, 0), "24 bytes are too few for 2147483648 labels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_image_is_listed_with_its_key_and_costs_no_other(tmp_path, damaged, reason):
    path = write_records(tmp_path / "train.rec", IMAGES | {3: damaged})
    found = scan_records(path)
    assert found.skipped == ((f"{path}#3", reason),)
    assert found.labels.tolist() == [1, 2, 1, 2]


def test_a_damaged_frame_costs_no_other_record(tmp_path):
    path = write_records(tmp_path / "train.rec", IMAGES)
    data = bytearray(path.read_bytes())
    third = int(path.with_suffix(".idx").read_text().splitlines()[2].split()[1])
    data[third + 6] ^= 0x40  # the record says that it is 4 MB longer
    path.write_bytes(data)
    found = scan_records(path)
    assert found.labels.tolist() == [1, 2, 1, 2]
    ((name, reason),) = found.skipped
    assert name == f"{path}#3"
    assert reason.startswith(f"the record at byte {third} has no end before byte ")


@pytest.mark.parametrize("cut", [4, 5000, 60_000])
def test_a_file_that_was_cut_short_names_itself_and_the_place(tmp_path, cut):
    path = write_records(tmp_path / "train.rec", IMAGES)
    size, last = path.stat().st_size - cut, path.with_suffix(".idx").read_text().split()[-1]
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataUnusable, match=f"ends at byte {size}, inside or before the record at byte {last}") as error:
        scan_records(path)
    assert error.value.value == str(path)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("", "two whole numbers"),
        ("1\t0\n2\n", "columns changed"),
        ("1\n2\n", "1 columns instead of 2"),
        ("1\t0\nx\t4\n", "could not convert"),
        ("1\t0.5\n", "not an index"),
        ("1\t0\n1\t4\n", "the same key twice"),
        ("1\t0\n2\t0\n", "the same offset twice"),
        ("1\t-4\n", "negative"),
        ("1\t2\n", "multiple of 4"),
        ("1\t99999999999999999999\n", "not an index"),
        ("1\té\n", "not an index"),
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path, index, reason):
    path = write_records(tmp_path / "train.rec", IMAGES)
    path.with_suffix(".idx").write_text(index, encoding="utf-8")
    with pytest.raises(DataUnusable, match=reason) as error:
        scan_records(path)
    assert error.value.value == str(path.with_suffix(".idx"))


def test_without_an_index_the_error_says_where_it_belongs(tmp_path):
    path = write_records(tmp_path / "train.rec", IMAGES)
    path.with_suffix(".idx").unlink()
    with pytest.raises(DataUnusable, match=r"no index: .*train\.idx"):
        scan_records(path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 something else"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = write_records(tmp_path / "train.rec", IMAGES)
    path.write_bytes(content)
    with pytest.raises(DataUnusable):
        scan_records(path)


def test_an_index_of_another_file_leaves_nothing_and_says_so(tmp_path):
    path = write_records(tmp_path / "train.rec", IMAGES)
    path.with_suffix(".idx").write_text("1\t4\n2\t12\n")
    with pytest.raises(DataUnusable, match=r"\(record 1: no record, or none that begins here, at byte 4\)"):
        scan_records(path)


def test_a_file_that_changed_since_it_was_looked_at_is_refused_image_by_image(tmp_path):
    path = write_records(tmp_path / "train.rec", IMAGES)
    found = scan_records(path)
    with pytest.raises(ImageRefused, match=r"The \.rec file has changed"):
        RecordCrops(path, found.header, found.offsets + 4)[0]


class TestAnyBytes:
    """Nothing but a FacesError leaves the reader."""

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6), st.integers(0, 3000))
    def test_a_changed_record_file(self, tmp_path, changes, cut):
        small = {key: record(1, image=encoded(key, kind="JPEG", quality=5)) for key in (1, 2)}
        path = write_records(tmp_path / "train.rec", small)
        data = bytearray(path.read_bytes())
        for at, value in changes:
            data[at % len(data)] = value
        path.write_bytes(data[: len(data) - cut] if cut % 3 == 0 else data)
        self.read(path)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=200), st.text("0123456789\t\n .-e#_x", max_size=60))
    def test_anything_else(self, tmp_path, data, index):
        path = tmp_path / "train.rec"
        path.write_bytes(data)
        path.with_suffix(".idx").write_text(index)
        self.read(path)

    def read(self, path):
        try:
            found = scan_records(path)
            crops = RecordCrops(path, found.header, found.offsets)
            assert {crops[i].shape for i in range(len(crops))} == {(SIDE, SIDE, 3)}
        except FacesError:
            pass
