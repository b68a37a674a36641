"""Crops to unit rows, prepared as the card says."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from faces.align import RECIPES
from faces.embed import ModelEmbedder
from faces.errors import WeightsUnreadable
from tests.faces.parts import small_card, small_network

CARD = small_card(small_network())


class Recorder:
    """A network that answers with the mean of each plane, and keeps what it was given."""

    name = "recorder"

    def __init__(self, factor=1.0, batch=None):
        self.batches, self.factor, self.inputs = [], factor, {"crops": (batch, 3, 112, 112)}

    def run(self, batch):
        self.batches.append(batch)
        planes = batch.mean(axis=(2, 3))
        return [np.tile(planes, 3)[:, :8].astype(np.float32) * np.float32(self.factor)]


def crops_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [0, 1, 64, 65, 130])
def test_any_number_of_crops_gives_as_many_unit_rows_in_order(count):
    embedder, crops = ModelEmbedder(CARD, Recorder()), crops_of(count)
    rows = embedder.embed(crops)
    assert rows.shape == (count, 8)
    assert rows.dtype == np.float32
    assert_allclose(np.linalg.norm(rows, axis=1), np.ones(count), rtol=1e-6)
    for i in range(0, count, 29):
        assert_allclose(rows[i], embedder.embed(crops[i : i + 1])[0], rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_a_network_built_for_one_size_of_batch_is_given_no_other(batch, count):
    network, crops = Recorder(batch=batch), crops_of(count)
    assert_allclose(ModelEmbedder(CARD, network).embed(crops), ModelEmbedder(CARD, Recorder()).embed(crops), rtol=1e-6)
    assert [len(given) for given in network.batches] == [batch] * -(-count // batch)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_the_network_sees_planes_less_the_mean_over_the_scale_in_the_cards_order(colour):
    network = Recorder()
    card = replace(CARD, input=replace(CARD.input, colour=colour, mean=(10.0, 20.0, 30.0), scale=4.0))
    crop = np.empty((1, 112, 112, 3), dtype=np.uint8)
    crop[:] = (110, 120, 130) if colour == "RGB" else (130, 120, 110)
    ModelEmbedder(card, network).embed(crop)
    (batch,) = network.batches
    assert batch.shape == (1, 3, 112, 112)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert_allclose(batch[0, :, 0, 0], [25, 25, 25])


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf])
def test_an_answer_without_a_direction_is_an_error_that_names_the_model(factor):
    with pytest.raises(WeightsUnreadable, match=f"^embeddings without a direction from model: '{CARD.model_id}'"):
        ModelEmbedder(CARD, Recorder(factor)).embed(crops_of(1))


def test_an_embedder_is_of_the_space_and_model_of_its_card():
    embedder = ModelEmbedder(CARD, Recorder())
    assert (embedder.space, embedder.model_id) == (CARD.space, CARD.model_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": "0123456789abcdef"},
        {"input": replace(CARD.input, colour="BGR")},
        {"input": replace(CARD.input, mean=(127.5, 127.5, 127.0))},
        {"input": replace(CARD.input, scale=127.5)},
        {"crop": RECIPES["facenet-160"].scaled(112, 112)},
    ],
)
def test_whatever_changes_its_answers_changes_its_identity(changes):
    identity = ModelEmbedder(CARD, Recorder()).identity
    assert ModelEmbedder(replace(CARD, **changes), Recorder()).identity != identity


def test_what_a_card_says_beside_changes_no_identity():
    other = replace(CARD, name="renamed", created="2026-02-01", measured={})
    assert ModelEmbedder(other, Recorder()).identity == ModelEmbedder(CARD, Recorder()).identity
