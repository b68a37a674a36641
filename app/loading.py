"""From the name of a model to an Active: opened, warm, with its thresholds for every collection that is in use."""

import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.references import absolute
from app.settings import Settings
from app.swap import Active, Deciding
from app.thresholds import Thresholds
from faces.embed import ModelEmbedder
from faces.errors import FacesError
from faces.models import Model, find_model, open_embedder
from faces.space import ModelCard, Recipe
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
        """The Model of this name, or the opened one with this model_id: same Space, warm, its thresholds measured.

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
        return Active(self._references[embedder.model_id], embedder, _AsOfNow(partial(self._deciding, embedder.card)))

    def _deciding(self, card: ModelCard) -> Deciding:
        return Deciding(self._thresholds.deciding(self._gallery, card), self._thresholds.several(self._gallery, card))

    def _open(self, model: Model) -> ModelEmbedder:
        embedder = open_embedder(model, threads=self._settings.threads)
        embedder.embed(blank(embedder.card.crop))
        return embedder


class _AsOfNow:
    """What a model decides by whenever it is asked. Raises at first what `read` raises."""

    def __init__(self, read: Callable[[], Deciding]) -> None:
        self._read, self._last = read, read()

    def __call__(self) -> Deciding:
        with suppress(FacesError):  # a gallery that cannot be read just now: who looks at models is told what it was
            self._last = self._read()
        return self._last


def blank(recipe: Recipe) -> NDArray[np.uint8]:
    """(1, height, width, 3): a Crop with nothing on it."""
    return np.full((1, recipe.height, recipe.width, 3), 128, dtype=np.uint8)
