"""Which model answers, and the only ways that this changes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import NoPreviousModel, SwapInProgress
from faces.embed import ModelEmbedder
from faces.space import ModelCard
from index.threshold import Threshold


@dataclass(frozen=True, slots=True, eq=False)
class Active:
    """All that an answer takes from the model that gives it. Immutable: a request takes it once, at its start."""

    reference: str
    """What finds the Model again after a restart, from any working directory."""
    embedder: ModelEmbedder
    threshold: Threshold

    @property
    def card(self) -> ModelCard:
        return self.embedder.card


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The model that answers, and the one before it, kept loaded for the way back."""

    active: Active
    previous: Active | None = None


class Switch:
    """One reference to the Models. Readers never wait; one swap at a time.

    load: opens a model, warms it and computes its threshold; a failure leaves everything as it was.
    remember: stores a reference durably. It is called before the pointer moves, so a process that dies in between
    comes back with the new model, and one whose store fails keeps the old one.
    """

    def __init__(self, active: Active, load: Callable[[str], Active], remember: Callable[[str], None]) -> None:
        self._models = Models(active)
        self._load = load
        self._remember = remember
        self._swapping = threading.Lock()

    @property
    def models(self) -> Models:
        return self._models

    def activate(self, reference: str) -> Models:
        """Load the model of this name and let it answer. The active one again: only its threshold is computed anew.

        Raises SwapInProgress, and whatever `load` and `remember` raise.
        """
        with self._alone():
            active, before = self._load(reference), self._models
            same = active.card.model_id == before.active.card.model_id
            return self._move(Models(active, before.previous if same else before.active))

    def roll_back(self) -> Models:
        """Exchange the active and the previous model, without loading anything. Raises NoPreviousModel."""
        with self._alone():
            before = self._models
            if before.previous is None:
                raise NoPreviousModel(
                    "no previous model is loaded beside", before.active.card.model_id, "Activate a model by its name."
                )
            return self._move(Models(before.previous, before.active))

    def _move(self, models: Models) -> Models:
        self._remember(models.active.reference)
        self._models = models
        return models

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._swapping.acquire(blocking=False):
            raise SwapInProgress(
                "another swap has not finished; the active model is",
                self._models.active.card.model_id,
                "Wait for it, look at GET /v1/models, and ask again.",
            )
        try:
            yield
        finally:
            self._swapping.release()
