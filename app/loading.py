"""From the name of a model to an Active: opened, warm, with its thresholds for every collection that is in use."""

import weakref
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from app.references import absolute
from app.settings import Settings
from app.swap import Active
from app.thresholds import Thresholds
from faces.embed import ModelEmbedder
from faces.models import Model, find_model, open_embedder
from faces.space import Recipe
from index.errors import CollectionUnknown
from index.gallery import LocalGallery


class Loader:
    """Opens Models for one gallery. One that is still in use anywhere is not opened twice."""

    def __init__(self, gallery: LocalGallery, settings: Settings, thresholds: Thresholds) -> None:
        self._gallery = gallery
        self._settings = settings
        self._thresholds = thresholds
        self._opened: weakref.WeakValueDictionary[str, ModelEmbedder] = weakref.WeakValueDictionary()
        self._references: dict[str, str] = {}

    def __call__(self, reference: str) -> Active:
        """The Model of this name, or the opened one with this model_id: same Space, warm, thresholds as of now.

        Those of the other collections are measured too: the first who asks there is not to wait for it.

        Raises SpaceMismatch, and the errors of `find_model`, `open_embedder` and `Thresholds.deciding`.
        """
        embedder = self._opened.get(reference)
        if embedder is None:
            model = find_model(reference)
            self._gallery.require_space(model.card.space)
            embedder = self._opened.get(model.card.model_id) or self._open(model)
            self._opened[embedder.model_id], self._references[embedder.model_id] = embedder, absolute(reference)
        self._thresholds.measure(self._gallery, embedder.card)
        for name in self._thresholds.collections() - {self._gallery.collection}:
            with suppress(CollectionUnknown):  # deleted since
                self._thresholds.measure(self._gallery.store.gallery(name), embedder.card)
        decides = self._thresholds.deciding(self._gallery, embedder.card)
        known = self._thresholds.several(self._gallery, embedder.card)
        return Active(self._references[embedder.model_id], embedder, decides, known)

    def _open(self, model: Model) -> ModelEmbedder:
        embedder = open_embedder(model, threads=self._settings.threads)
        embedder.embed(blank(embedder.card.crop))
        return embedder


def blank(recipe: Recipe) -> NDArray[np.uint8]:
    """(1, height, width, 3): a Crop with nothing on it."""
    return np.full((1, recipe.height, recipe.width, 3), 128, dtype=np.uint8)
