"""InsightFace's evaluation sets: what is read of them, and that nothing else in the pickle is acted upon."""

import io
import os
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faces.errors import FacesError
from kd.data.crops import RIM, SIDE
from kd.data.evalset import read_evaluation_set
from kd.errors import ProtocolInvalid
from tests.kd.record_files import encoded

FILES = [encoded(seed) for seed in range(6)]
SAME = [True, False, True]


@pytest.fixture
def written(tmp_path):
    """Write bytes as a file, and read it."""

    def read(data):
        path = tmp_path / "set.bin"
        path.write_bytes(data)
        return read_evaluation_set(path)

    return read


def python_2(files, same):
    """(files, same) as cPickle writes it, protocol 2: strings with 32-bit lengths, memo numbers from 1."""
    out, memo = io.BytesIO(), iter(range(1, 10**6))

    def put():
        number = next(memo)
        return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    out.write(b"\x80\x02]" + put() + b"(")
    for file in files:
        out.write(b"T" + struct.pack("<I", len(file)) + file + put())
    out.write(b"e]" + put() + b"(" + b"".join(b"\x88" if one else b"\x89" for one in same) + b"e\x86" + put() + b".")
    return out.getvalue()


def test_pairs_are_neighbours_in_the_order_of_the_file(written):
    found = written(python_2(FILES, SAME))
    assert found.same.tolist() == SAME
    for pair, (a, b) in enumerate(found.pairs.tolist()):
        for crop, file in ((found.crops[a], FILES[2 * pair]), (found.crops[b], FILES[2 * pair + 1])):
            assert crop.shape == (SIDE, SIDE, 3)
            assert np.array_equal(crop[RIM:-RIM, RIM:-RIM], np.asarray(Image.open(io.BytesIO(file))))


ARRAYS = [np.frombuffer(file, dtype=np.uint8) for file in FILES]
WAYS = {
    "lists in a tuple": (FILES, SAME),
    "tuples in a list": [tuple(FILES), tuple(SAME)],
    "whole numbers": (FILES, [1, 0, 1]),
    "numpy's truths": (FILES, [np.bool_(one) for one in SAME]),
    "an array of truths": (FILES, np.array(SAME)),
    "an array of numbers": (FILES, np.array([1, 0, 1])),
    "images as arrays": (ARRAYS, SAME),
    "images as arrays of their own": ([array.copy() for array in ARRAYS], SAME),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_whoever_wrote_it_it_is_the_same_set(written, way, protocol):
    found = written(pickle.dumps(WAYS[way], protocol=protocol))
    expected = written(python_2(FILES, SAME))
    assert found.same.tolist() == SAME
    assert np.array_equal(found.pairs, expected.pairs)
    assert all(np.array_equal(found.crops[i], expected.crops[i]) for i in range(6))


def test_an_array_of_an_old_numpy_is_read(written):
    new = pickle.dumps((FILES, np.array(SAME)), protocol=3)
    assert b"numpy._core.multiarray" in new
    assert written(new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")).same.tolist() == SAME


def test_an_image_in_many_pairs_is_one_crop(written):
    found = written(python_2([FILES[0], FILES[1], FILES[0], FILES[2]], [True, False]))
    assert len(found.crops) == 3
    assert found.pairs.tolist() == [[0, 1], [0, 2]]


def test_pairs_of_an_image_that_cannot_be_read_are_left_out_and_it_is_listed(written):
    files = [*FILES[:3], b"no picture", encoded(9, side=160), FILES[5]]
    found = written(python_2([*files, FILES[0], FILES[5]], [True, False, True, False]))
    assert found.skipped == ((3, "not a JPEG, PNG or WebP image"), (4, "a side of more than 128 pixels"))
    assert found.same.tolist() == [True, False]
    assert len(found.crops) == 4
    first, second = found.pairs.tolist()
    assert first[0] == second[0]
    assert np.array_equal(found.crops[second[1]][RIM:-RIM, RIM:-RIM], np.asarray(Image.open(io.BytesIO(FILES[5]))))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ((FILES, SAME[:2]), "6 images for 2 pairs"),
        ((FILES[:5], SAME), "5 images for 3 pairs"),
        ((FILES, SAME, 1), "too many values"),
        (({}, {}), "EMPTY_DICT"),
        (("text", SAME), "str where a list is expected"),
        ((["text"] * 6, SAME), "str where an image is expected"),
        ((FILES, [2, 0, 1]), "where true or false is expected"),
        ((FILES, [None] * 3), "NoneType where true or false is expected"),
        ((FILES, np.array([0.5, 0, 1])), "another kind"),
        ((FILES, np.array([True] * 4)), "4 bytes, where 3 numbers are expected"),
        (([], []), "it is empty"),
        (([b"a", b"b"], [True]), r"image 0: not a JPEG"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(written, content, reason):
    with pytest.raises(ProtocolInvalid, match=reason):
        written(pickle.dumps(content, protocol=4))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ProtocolInvalid, match=r"cannot be read .* '.*missing\.bin'"):
        read_evaluation_set(tmp_path / "missing.bin")


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


BOMBS = {
    "a place in memory far away": b"\x80\x04r\xff\xff\xff\x7f.",
    "the same in text": b"p2147483647\n.",
    "an array far past the end": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "bytes far past the end": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
    "a string far past the end": b"\x80\x02T\xff\xff\xff\x7f.",
    "a number of many digits": b"\x80\x04I" + b"9" * 20_000 + b"\n.",
    "marks without end": b"\x80\x04" + b"(" * 20_000 + b".",
    "a list in a list in a list": b"\x80\x04]\x94(" + b"]" * 20_000 + b"a" * 19_999 + b"e.",
    "a tuple of 2^200 leaves": b"\x80\x04)" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(200)) + b"\x86.",
    "a large image in many pairs": (
        b"\x80\x05\x96" + struct.pack("<Q", 10**6) + bytes(10**6) + b"\x94]("
        + b"h\x00" * 20_000 + b"e](" + b"\x88" * 10_000 + b"e\x86."
    ),
}  # fmt: skip


class TestHostileFiles:
    @pytest.mark.parametrize(
        "call",
        [Calls(os.mkdir, "made"), Calls(eval, "1"), Calls(np.load, "x", None, True), Calls(np.zeros, 10**12)],
        ids=["mkdir", "eval", "numpy.load", "numpy.zeros"],
    )
    @pytest.mark.parametrize("protocol", [2, 5])
    def test_functions_are_not_called(self, written, tmp_path, monkeypatch, call, protocol):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ProtocolInvalid):
            written(pickle.dumps((FILES, [call]), protocol=protocol))
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
    def test_a_small_file_takes_neither_memory_nor_time(self, written, bomb):
        tracemalloc.start()
        began = time.thread_time()
        with pytest.raises(ProtocolInvalid):
            written(bomb)
        taken, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken < 5
        assert peak < 50_000_000

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.sampled_from([python_2, lambda files, same: pickle.dumps((files, np.array(same)), protocol=4)]),
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
        st.integers(0, 200),
    )
    def test_a_changed_file_gives_pairs_or_a_refusal(self, written, writer, changes, cut):
        small = [encoded(seed, kind="JPEG", quality=5) for seed in range(2)]
        data = bytearray(writer(small, [True]))
        for at, value in changes:  # towards the end: what is not image
            data[(at if at % 2 else -at % 60) % len(data)] = value
        self.read(written, bytes(data[: len(data) - cut] if cut < 60 else data))

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from([bytes([code]) for code in b"()]}aelt.02hqRbcN\x85\x86\x88\x89\x93\x94K\x00"])))
    def test_any_opcodes_give_a_refusal(self, written, opcodes):
        self.read(written, b"\x80\x04" + b"".join(opcodes) + b".")

    def read(self, written, data):
        try:
            found = written(data)
            assert {found.crops[at].shape for at in found.pairs.ravel()} == {(SIDE, SIDE, 3)}
        except FacesError:
            pass
