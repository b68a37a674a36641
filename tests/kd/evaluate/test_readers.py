"""Protocols from files and folders."""

import pickle

import cv2
import numpy as np
import pytest

from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import joined_subjects
from kd.evaluate.readers import READERS, open_protocol

PAIRS = "photo_a,photo_b,same,fold\na1,a2,1,0\na1,b1,0,0\nb1,b2,1,1\nb1,c1,0,1\n"
IDENTIFICATION = """photo,subject,role
a1,ada,gallery
b1,bob,gallery
a2,ada,probe
b2,bob,probe
c1,cy,nonmated
d1,dan,distractor
"""
MEDIA = """template,subject,medium,photo
1,ada,still,a1
2,bob,still,b1
3,ada,clip,a2
3,ada,clip,a3
3,ada,still,a4
4,bob,still,b2
"""


def names(protocol, templates):
    """The photos of these templates, without their folder."""
    return [path.rsplit("/", 1)[-1] for i in templates for medium in protocol.templates[i].media for path in medium]


def subjects(protocol, templates):
    return [protocol.templates[i].subject for i in templates]


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "dev_pairs.csv").write_text(PAIRS)
    (tmp_path / "dev_identification.csv").write_text(IDENTIFICATION)
    return tmp_path


@pytest.fixture
def media(tmp_path):
    (tmp_path / "x_media.csv").write_text(MEDIA)
    (tmp_path / "x_template_pairs.csv").write_text("template_a,template_b\n3,1\n3,2\n")
    (tmp_path / "x_template_search.csv").write_text("template,part\n1,G1\n2,G2\n3,probe\n4,probe\n")
    return tmp_path


@pytest.fixture
def people(tmp_path):
    """Nine people; the first has three photos, the second one, every other two."""
    for person, photos in enumerate([3, 1, 2, 2, 2, 2, 2, 2, 2]):
        for photo in range(photos):
            path = tmp_path / f"p{person}" / f"p{person}-{photo}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    (tmp_path / "p0" / "notes.txt").touch()
    (tmp_path / ".cache").mkdir()
    return tmp_path


@pytest.fixture
def faces(tmp_path):
    """Three people with two frontal and two profile photos each."""
    for person in "abc":
        for view in ("frontal", "profile"):
            (tmp_path / person / view).mkdir(parents=True)
            for photo in range(2):
                (tmp_path / person / view / f"{person}{view[0]}{photo}.jpg").touch()
    return tmp_path


def test_lists_give_a_search_without_distractors_and_one_with_them(lists):
    protocol = open_protocol(str(lists))
    small, large = protocol.searches
    assert (names(protocol, small.gallery), names(protocol, large.gallery)) == (["a1", "b1"], ["a1", "b1", "d1"])
    assert names(protocol, small.probes) == names(protocol, large.probes) == ["a2", "b2", "c1"]


def test_the_left_photo_of_a_pair_is_the_probe(lists):
    protocol = open_protocol(str(lists))
    (pairs,) = protocol.pairs
    assert (names(protocol, pairs.left), names(protocol, pairs.right)) == (
        ["a1", "a1", "b1", "b1"],
        ["a2", "b1", "b2", "c1"],
    )
    assert (pairs.same.tolist(), pairs.fold.tolist()) == ([True, False, True, False], [0, 0, 1, 1])


def test_photos_are_relative_to_their_folder(lists, tmp_path):
    protocol = open_protocol(str(lists), tmp_path / "lfw" / "dev")
    assert (protocol.name, protocol.photos([0])) == ("lfw-dev", [str(tmp_path / "lfw" / "dev" / "a1")])
    assert open_protocol(str(lists), tmp_path, name="mine").name == "mine"
    assert open_protocol(f"yours=lists:{lists}", tmp_path, name="mine").name == "yours"


@pytest.mark.parametrize("kept", ["dev_pairs.csv", "dev_identification.csv"])
def test_either_list_will_do(lists, kept):
    for path in lists.iterdir():
        if path.name != kept:
            path.unlink()
    protocol = open_protocol(f"lists:{lists}")
    assert (len(protocol.pairs), len(protocol.searches)) == ((1, 0) if "pairs" in kept else (0, 2))


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("dev_pairs.csv", "a,b\n", "unexpected columns"),
        ("dev_pairs.csv", PAIRS.replace("a1,a2,1,0", "a1,a2,yes,0"), r"same 'yes'.*dev_pairs\.csv:2"),
        ("dev_pairs.csv", PAIRS.replace("b1,c1,0,1", "b1,c1,0"), r"3 values.*dev_pairs\.csv:5"),
        ("dev_pairs.csv", PAIRS.replace(",1\n", ",0\n"), "fewer than two folds"),
        ("dev_pairs.csv", PAIRS.replace(",0,", ",1,"), "pairs of one kind"),
        ("dev_identification.csv", "photo,subject,role\nx,y,visitor\n", r"no such role: 'visitor'.*csv:2"),
        ("dev_identification.csv", "photo,subject,role\na1,ada,gallery\n", "no photo has the role probe"),
        ("dev_identification.csv", IDENTIFICATION + "a1,bob,probe\n", r"photo 'a1' of two subjects.*csv:8"),
        ("dev_identification.csv", IDENTIFICATION.replace("b2,bob", "b2,eve"), "not in the gallery: 'b2'"),
        ("dev_identification.csv", IDENTIFICATION.replace("c1,cy", "c1,dan"), "is enrolled: 'c1'"),
    ],
)
def test_a_list_that_does_not_read_is_named(lists, file, text, said):
    (lists / file).write_text(text)
    with pytest.raises(ProtocolInvalid, match=said):
        open_protocol(str(lists))


def test_a_folder_without_a_protocol_says_what_one_is(tmp_path):
    with pytest.raises(ProtocolInvalid, match=r"found nothing.*identification\.csv"):
        open_protocol(str(tmp_path))


def test_a_path_that_is_not_there_is_answered_with_the_kinds(tmp_path):
    with pytest.raises(ProtocolInvalid, match=r"no such protocol.*frontal-profile:PATH"):
        open_protocol(str(tmp_path / "none"))
    with pytest.raises(ProtocolInvalid, match="no such protocol: 'ijbz:"):
        open_protocol(f"ijbz:{tmp_path}")


def test_a_list_that_is_no_text_is_refused(lists):
    (lists / "dev_pairs.csv").write_bytes(PAIRS.encode() + b"\xff\xfe,b,1,1\n")
    with pytest.raises(ProtocolInvalid, match="does not read as CSV"):
        open_protocol(str(lists))


def test_unknown_people_are_what_genuine_pairs_connect():
    genuine = [("a1", "a2"), ("a2", "a3"), ("x1", "x2")]
    found = joined_subjects(["a1", "a2", "a3", "x2", "x1", "lone"], {"a3": "ada"}, genuine)
    assert found == {"a1": "ada", "a2": "ada", "a3": "ada", "x1": "x1", "x2": "x1", "lone": "lone"}


def test_templates_hold_their_photos_by_medium(media):
    protocol = open_protocol(f"templates:{media}")
    assert [len(medium) for medium in protocol.templates[2].media] == [2, 1]
    assert protocol.pairs[0].same.tolist() == [True, False]


def test_a_probe_is_mated_in_one_gallery_and_not_in_the_other(media):
    protocol = open_protocol(f"templates:{media}")
    first, second = protocol.searches
    assert (first.name, subjects(protocol, first.gallery)) == ("G1", ["ada"])
    assert (second.name, subjects(protocol, second.gallery)) == ("G2", ["bob"])
    assert subjects(protocol, first.probes) == subjects(protocol, second.probes) == ["ada", "bob"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("x_media.csv", MEDIA + "1,bob,still,b3\n", r"template '1' of two subjects.*:8"),
        ("x_template_pairs.csv", "template_a,template_b\n3,9\n", "no such template: '9'"),
        ("x_template_pairs.csv", "template_a,template_b\n", "pairs of one kind"),
        ("x_template_search.csv", "template,part\n1,G1\n", "no probe or no gallery"),
    ],
)
def test_a_template_that_does_not_fit_is_named(media, file, text, said):
    (media / file).write_text(text)
    with pytest.raises(ProtocolInvalid, match=said):
        open_protocol(f"templates:{media}")


def test_every_fourth_person_of_a_folder_is_a_stranger(people):
    protocol = open_protocol(f"people:{people}")
    small, large = protocol.searches
    assert names(protocol, small.gallery) == [f"p{n}-0.jpg" for n in (0, 2, 4, 5, 6, 8)]
    assert names(protocol, large.gallery) == [
        *names(protocol, small.gallery),
        "p1-0.jpg",
    ]  # has one photo: a distractor
    assert names(protocol, small.probes)[:3] == ["p0-1.jpg", "p0-2.jpg", "p2-1.jpg"]
    strangers = set(subjects(protocol, small.probes)) - set(subjects(protocol, large.gallery))
    assert strangers == {"p3", "p7"}


def test_a_folder_where_nobody_has_two_photos_is_refused(tmp_path):
    (tmp_path / "p0").mkdir()
    (tmp_path / "p0" / "0.jpg").touch()
    with pytest.raises(ProtocolInvalid, match="nobody has two photos"):
        open_protocol(f"people:{tmp_path}")


def test_frontal_and_profile_probes_are_reported_apart(faces):
    protocol = open_protocol(f"frontal-profile:{faces}")
    for search, kind, probes in zip(protocol.searches, ("frontal", "profile"), (3, 6), strict=True):
        assert (search.name, len(search.probes)) == (kind, probes)
        assert names(protocol, search.gallery) == ["af0.jpg", "bf0.jpg", "cf0.jpg"]
    assert [(pairs.name, int(pairs.same.sum()), len(pairs.same)) for pairs in protocol.pairs] == [
        ("frontal", 3, 9),
        ("profile", 6, 18),
    ]


def test_a_folder_without_profiles_is_refused(people):
    with pytest.raises(ProtocolInvalid, match="no frontal photo"):
        open_protocol(f"frontal-profile:{people}")


def write_bin(path, crops):
    """Crops 2i and 2i + 1 are pair i; every other pair is genuine."""
    files = [cv2.imencode(".png", crop[..., ::-1])[1].tobytes() for crop in crops]
    path.write_bytes(pickle.dumps((files, [i % 2 == 0 for i in range(len(files) // 2)]), protocol=4))


def test_a_bin_is_pairs_in_ten_folds(tmp_path):
    write_bin(tmp_path / "lfw.bin", [np.full((112, 112, 3), value, np.uint8) for value in range(40)])
    protocol = open_protocol(f"bin:{tmp_path / 'lfw.bin'}")
    (pairs,) = protocol.pairs
    assert (protocol.name, pairs.fold.tolist()) == ("lfw", [i // 2 for i in range(20)])
    assert len(set(subjects(protocol, range(40)))) == 30  # ten genuine pairs are ten people
    (shown,) = protocol.photos([7])
    assert (protocol.crops[shown].shape, protocol.crops[shown][60, 60, 0]) == ((128, 128, 3), 7)


def test_an_image_of_a_bin_that_does_not_read_is_said_and_its_pair_left_out(tmp_path, caplog):
    crops = [np.full((112, 112, 3), value, np.uint8) for value in range(39)] + [np.zeros((9, 9, 3), np.uint8)]
    write_bin(tmp_path / "lfw.bin", crops)
    protocol = open_protocol(f"bin:{tmp_path / 'lfw.bin'}")
    assert len(protocol.pairs[0].same) == 19
    assert "1 images do not read" in caplog.text


@pytest.mark.parametrize("kind", ["people", "frontal-profile"])
def test_a_file_is_no_folder_of_people(tmp_path, kind):
    (tmp_path / "file").touch()
    with pytest.raises(ProtocolInvalid, match="not a folder"):
        open_protocol(f"{kind}:{tmp_path / 'file'}")


def test_a_list_saved_with_a_byte_order_mark_reads(lists):
    (lists / "dev_pairs.csv").write_text(PAIRS, encoding="utf-8-sig")
    assert len(open_protocol(str(lists)).pairs[0].same) == 4


def test_every_reader_is_named_in_the_table():
    assert list(READERS) == ["lists", "bin", "templates", "people", "frontal-profile"]
