"""From the name of a model to an Active: opened, warm, with its thresholds for one gallery."""

import weakref

import numpy as np
from numpy.typing import NDArray

from app.references import absolute
from app.settings import Settings
from app.swap import Active
from faces.embed import ModelEmbedder
from faces.models import Model, find_model, open_embedder
from faces.space import ModelCard, Recipe
from index.calibrate import FPIRS, chosen, current_threshold, current_thresholds
from index.gallery import LocalGallery
from index.threshold import Threshold


class Loader:
    """Opens Models for one gallery. One that is still in use anywhere is not opened twice."""

    def __init__(self, gallery: LocalGallery, settings: Settings) -> None:
        self._gallery = gallery
        self._settings = settings
        self._opened: weakref.WeakValueDictionary[str, ModelEmbedder] = weakref.WeakValueDictionary()
        self._references: dict[str, str] = {}

    def __call__(self, reference: str) -> Active:
        """The Model of this name, or the opened one with this model_id: same Space, warm, thresholds as of now.

        Raises SpaceMismatch, and the errors of `find_model`, `open_embedder` and `current_threshold`.
        """
        embedder = self._opened.get(reference)
        if embedder is None:
            model = find_model(reference)
            self._gallery.require_space(model.card.space)
            embedder = self._opened.get(model.card.model_id) or self._open(model)
            self._opened[embedder.model_id], self._references[embedder.model_id] = embedder, absolute(reference)
        return Active(self._references[embedder.model_id], embedder, *self._thresholds(embedder.card))

    def _open(self, model: Model) -> ModelEmbedder:
        embedder = open_embedder(model, threads=self._settings.threads)
        embedder.embed(blank(embedder.card.crop))
        return embedder

    def _thresholds(self, card: ModelCard) -> tuple[Threshold, tuple[Threshold, ...]]:
        """The one that decides, and those at several FPIRs. Raises NotCalibrated where the first cannot be had."""
        settings, fpirs = self._settings, sorted({*FPIRS, self._settings.fpir}, reverse=True)
        table = {row.fpir: row.threshold for row in current_thresholds(self._gallery, card, fpirs)}
        if settings.threshold is not None:
            decides = chosen(settings.threshold, self._gallery, card)
        else:
            decides = table[settings.fpir] or current_threshold(
                self._gallery, card, settings.fpir
            )  # which says why not
        return decides, tuple(threshold for threshold in table.values() if threshold is not None)


def blank(recipe: Recipe) -> NDArray[np.uint8]:
    """(1, height, width, 3): a Crop with nothing on it."""
    return np.full((1, recipe.height, recipe.width, 3), 128, dtype=np.uint8)
