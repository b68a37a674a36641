"""What makes embeddings comparable, and cards that are refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.align import ARCFACE_112
from faces.errors import CardInvalid, SpaceMismatch
from faces.space import Cell, Space, digest, read_card, short_id
from tests.faces.parts import SPACE, small_card, small_network

MODEL = small_network()


class TestSpace:
    def test_the_id_is_the_start_of_the_hash_of_the_canonical_json(self):
        canonical = f'{{"crop":"arcface-112","dim":8,"metric":"cosine","normalisation":"unit","teacher":"{"ab" * 32}"}}'
        assert SPACE.space_id == digest(canonical.encode())[:16] == "11f80a2a52e6ce57"

    @pytest.mark.parametrize("change", [{"teacher": "cd" * 32}, {"dim": 9}, {"crop": "another"}])
    def test_every_field_counts(self, change):
        other = replace(SPACE, **change)
        (name,) = change
        assert other.space_id != SPACE.space_id
        assert SPACE.differences(other) == {name: (getattr(SPACE, name), change[name])}

    def test_the_same_space_is_let_through(self):
        SPACE.require_same(Space(teacher="ab" * 32, dim=8, crop="arcface-112"), "Never read.")

    def test_another_space_is_refused_with_each_field_that_differs(self):
        with pytest.raises(SpaceMismatch) as error:
            SPACE.require_same(replace(SPACE, dim=9, crop="another"), "Take the Model of this Space.")
        fields = {"dim": (9, 8), "crop": ("another", "arcface-112")}
        assert error.value.details == {"fields": fields, "remedy": "Take the Model of this Space."}
        assert error.value.code == "space_mismatch"

    @given(st.binary())
    def test_a_short_id_is_sixteen_digits(self, data):
        assert len(short_id(digest(data))) == 16


class TestRecipe:
    def test_the_same_view_at_another_size_keeps_pixel_centres_in_place(self):
        twice = ARCFACE_112.scaled(224, 224)
        assert twice.points[0] == pytest.approx((2 * 38.2946 + 0.5, 2 * 51.6963 + 0.5))
        assert twice.scaled(112, 112).points[4] == pytest.approx(ARCFACE_112.points[4])


class TestCard:
    @pytest.fixture
    def written(self, tmp_path):
        def write(**changes):
            path = tmp_path / "card.json"
            fields = json.loads(small_card(MODEL).to_json())
            path.write_text(json.dumps({key: value for key, value in (fields | changes).items() if value != "absent"}))
            return path

        return write

    def test_a_card_reads_as_it_was_written(self, tmp_path):
        cell = Cell(370, 837, 640, 0.9, {"0.01": 0.3}, {"0.01": 0.42}, pairs=0.98)
        card = small_card(MODEL, measured={"lfw": {"S→T": cell}})
        (tmp_path / "card.json").write_text(card.to_json())
        assert read_card(tmp_path / "card.json") == card

    def test_a_card_that_is_not_there_is_an_error(self, tmp_path):
        with pytest.raises(
            CardInvalid, match=r"^no card: .*card\.json'\. A Model is a folder with model\.onnx and card"
        ):
            read_card(tmp_path / "card.json")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"space_id": "0" * 16},
                f"space_id is '0000000000000000', but the rest of the card gives '{SPACE.space_id}'",
            ),
            ({"dim": 9}, "dim is 9, but the rest of the card gives 8"),
            ({"name": "absent"}, "not a ModelCard (name: Field required)"),
            ({"misspelt": 1}, "not a ModelCard (misspelt: Unexpected keyword argument)"),
            ({"role": "parent"}, "not a ModelCard (role: Input should be 'teacher' or 'student')"),
            ({"dim": "many"}, "not a ModelCard (dim: Input should be a valid integer"),
        ],
    )
    def test_a_card_that_contradicts_itself_is_refused_with_both_values(self, written, changes, message):
        with pytest.raises(CardInvalid) as error:
            read_card(written(**changes))
        assert message in str(error.value)

    def test_an_input_of_another_size_than_the_crop_is_refused(self, written):
        given_input = json.loads(small_card(MODEL).to_json())["input"] | {"height": 100}
        with pytest.raises(
            CardInvalid, match=r"input size is \(100, 112\), but the rest of the card gives \(112, 112\)"
        ):
            read_card(written(input=given_input))

    def test_a_scale_of_zero_is_refused(self, written):
        given_input = json.loads(small_card(MODEL).to_json())["input"] | {"scale": 0}
        with pytest.raises(CardInvalid, match=r"input\.scale: Input should be greater than 0"):
            read_card(written(input=given_input))

    @given(st.binary(max_size=30))
    def test_any_other_file_is_refused(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("card") / "card.json"
        path.write_bytes(data)
        with pytest.raises(CardInvalid, match="not a ModelCard"):
            read_card(path)
