"""A Segment holds the stored embeddings and knows how far its codes are from them; its file gives all of it or none."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import segment_file
from index.errors import SegmentDamaged
from index.segment import Segment
from index.segment_file import read_segment, write_segment


def unit_rows(count, dim, seed=0, lean=0.0):
    """(count, dim) float32 that fp16 holds; the greater `lean`, the narrower their cone."""
    rows = np.random.default_rng(seed).standard_normal((count, dim)) + lean
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def segment_of(vectors):
    return Segment.build(np.arange(len(vectors)) * 3 + 1, np.arange(len(vectors)) // 2, vectors)


def stands_for(segment):
    """(n, dim) what the codes stand for, by the definition."""
    codes = np.vstack([piece.codes for piece in segment.slices]).astype(np.float64)
    return segment.coding.centre + codes / segment.coding.scale


def test_its_rows_are_the_stored_ones_to_the_bit():
    vectors = unit_rows(50, 20)
    segment = segment_of(vectors)
    assert (len(segment), segment.dim) == (50, 20)
    assert (segment.rows_of(np.array([7, 0, 7])) == vectors[[7, 0, 7]]).all()


def test_it_can_be_handed_to_other_subjects():
    segment = segment_of(unit_rows(4, 8))
    owners = np.array([9, 9, 8, 8])
    other = segment.with_owners(owners)
    assert other.owners is owners
    assert other.slices is segment.slices
    assert segment.owners.tolist() == [0, 0, 1, 1]


@given(
    count=st.integers(1, 40), dim=st.integers(1, 70), seed=st.integers(0, 99), lean=st.sampled_from([0.0, 1.0, 50.0])
)
def test_no_row_is_farther_from_its_code_than_the_segment_says(count, dim, seed, lean):
    vectors = unit_rows(count, dim, seed, lean)
    segment = segment_of(vectors)
    apart = np.linalg.norm(vectors - stands_for(segment), axis=1)
    assert apart.max() <= segment.coding.residual
    assert segment.coding.residual <= 1.1 * apart.max() + 1e-5
    assert np.linalg.norm(stands_for(segment) - segment.coding.centre, axis=1).max() <= segment.coding.reach


def test_codes_of_a_narrow_cone_are_finer():
    """What all rows share is not coded: with cosines of about 0.9 to one another the error is a third."""
    wide, narrow = (segment_of(unit_rows(2000, 128, lean=lean)).coding.residual for lean in (0.0, 3.0))
    assert narrow < wide / 2.5


@pytest.mark.parametrize(("count", "dim"), [(0, 16), (1, 1), (5, 33), (300, 512)])
def test_a_file_gives_the_same_segment_back(tmp_path, count, dim):
    segment = segment_of(unit_rows(count, dim))
    write_segment(segment, tmp_path / "segment")
    back = read_segment(tmp_path / "segment")
    for name in ("ids", "owners", "halves"):
        assert getattr(back, name).dtype == getattr(segment, name).dtype
        assert (getattr(back, name) == getattr(segment, name)).all()
    assert (back.coding.centre == segment.coding.centre).all()
    for name in ("scale", "residual", "reach"):
        assert getattr(back.coding, name) == getattr(segment.coding, name)
    for ours, theirs in zip(back.slices, segment.slices, strict=True):
        assert ours.start == theirs.start
        assert (ours.codes == theirs.codes).all()
    assert [file.name for file in tmp_path.iterdir()] == ["segment"]


def test_a_segment_of_many_slices_and_pieces_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr("index.segment._SLICE_BYTES", 1000)
    monkeypatch.setattr("index.segment_file._PIECE", 700)
    segment = segment_of(unit_rows(100, 40))
    assert len(segment.slices) == 4
    write_segment(segment, tmp_path / "segment")
    assert (stands_for(read_segment(tmp_path / "segment")) == stands_for(segment)).all()


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "segment"
    write_segment(segment_of(unit_rows(3, 5)), path)
    return path


def test_any_flipped_byte_is_found(written):
    good = written.read_bytes()
    for place, bit in itertools.product(range(len(good)), (0x01, 0x80)):
        written.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])
        with pytest.raises(SegmentDamaged):
            read_segment(written)


def test_any_truncation_and_any_tail_is_found(written):
    good = written.read_bytes()
    for bad in [*(good[:length] for length in range(len(good))), good + b"\0", good + good]:
        written.write_bytes(bad)
        with pytest.raises(SegmentDamaged):
            read_segment(written)


def test_a_head_that_asks_for_more_memory_than_there_is_file_is_refused_first(written):
    huge = segment_file._HEAD.pack(b"HEIRSEG\x00", segment_file._FORMAT, 1 << 50, 512, 1.0, 0.0, 0.0)
    written.write_bytes(segment_file._sealed(huge) + written.read_bytes())
    with pytest.raises(SegmentDamaged, match="as long as"):
        read_segment(written)


def test_a_file_of_another_format_is_told_apart(written, monkeypatch):
    monkeypatch.setattr("index.segment_file._FORMAT", 9)
    with pytest.raises(SegmentDamaged, match="another format"):
        read_segment(written)


def test_a_file_that_is_not_there_or_no_file_is_damaged_too(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(SegmentDamaged, match="cannot be read"):
            read_segment(path)
