"""Which models are loaded, which of them answers, and the only ways that this changes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from app.errors import ModelInUse, ModelNotLoaded, ModelsFull, NoPreviousModel, SwapInProgress
from faces.embed import ModelEmbedder
from faces.space import ModelCard
from index.threshold import Threshold

MOST_CANDIDATES: Final = 4
"""Models that may be loaded beside the one that answers and the one before it: each takes memory."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """What a model decides by at one moment, in the collection that the service was started with."""

    threshold: Threshold
    """The one that decides."""
    several: tuple[Threshold, ...] = ()
    """At several FPIRs, the highest first; those that could be calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class Active:
    """A model that is loaded. Immutable: a request takes it once, at its start."""

    reference: str
    """What finds the Model again after a restart, from any working directory."""
    embedder: ModelEmbedder
    now: Callable[[], Deciding]
    """What it decides by, as of now: a collection that grows is measured anew, whoever holds the model meanwhile."""

    @property
    def card(self) -> ModelCard:
        return self.embedder.card

    @property
    def threshold(self) -> Threshold:
        """The one that decides now."""
        return self.now().threshold


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The model that answers; the one before it, kept loaded for the way back; those that are loaded beside."""

    active: Active
    previous: Active | None = None
    candidates: tuple[Active, ...] = ()

    @property
    def all(self) -> tuple[Active, ...]:
        return (self.active, *([] if self.previous is None else [self.previous]), *self.candidates)

    def find(self, model_id: str) -> Active | None:
        """The loaded model with this id."""
        return next((each for each in self.all if each.card.model_id == model_id), None)

    def named(self, name: str) -> Active:
        """The loaded model with this model_id or reference. Raises ModelNotLoaded."""
        found = self.find(name) or next((each for each in self.all if each.reference == name), None)
        if found is None:
            ids = ", ".join(each.card.model_id for each in self.all)
            raise ModelNotLoaded("no such model is loaded", name, f"Loaded are {ids}.")
        return found


Approve = Callable[[Models, Active], None]
"""Told the Models as they are and the one that is to answer; what it raises ends the swap."""


class Switch:
    """One reference to the Models. Readers never wait; one change at a time.

    load: opens a model by its reference, or takes the loaded one by its model_id; warms it and measures its thresholds.
    A failure leaves everything as it was.
    remember: stores durably which Models these are, and who wanted it. It is called before the pointer moves, so a
    process that dies in between comes back with the new model, and one whose store fails keeps the old one.
    """

    def __init__(
        self,
        active: Active,
        load: Callable[[str], Active],
        remember: Callable[[Models, str], None],
        previous: Active | None = None,
    ) -> None:
        self._models = Models(active, previous)
        self._load = load
        self._remember = remember
        self._changing = threading.Lock()

    @property
    def models(self) -> Models:
        return self._models

    def load(self, reference: str) -> Active:
        """Have a model of this name loaded beside the active one; one that is loaded already stays as it is.

        By a name its file is looked at, and another file is another model; by its model_id nothing is read.
        Raises ModelsFull, SwapInProgress, and whatever `load` raises.
        """
        with self._alone():
            if known := self._models.find(reference):
                return known
            loaded, before = self._load(reference), self._models
            if known := before.find(loaded.card.model_id):
                return known
            if len(before.candidates) >= MOST_CANDIDATES:
                ids = [each.card.model_id for each in before.candidates]
                raise ModelsFull("no more models are loaded beside", ids, "Unload one of them first.")
            self._models = replace(before, candidates=(*before.candidates, loaded))
            return loaded

    def activate(self, reference: str, approve: Approve = lambda *_: None, *, actor: str = "cli") -> Models:
        """Load the model of this name and let it answer. The active one again: only its thresholds are computed anew.

        actor: who wants it, as `remember` is told.
        Raises SwapInProgress, and whatever `load`, `approve` and `remember` raise.
        """
        with self._alone():
            active, before = self._load(reference), self._models
            approve(before, active)
            same = active.card.model_id == before.active.card.model_id
            return self._move(_beside(before, active, before.previous if same else before.active), actor)

    def roll_back(self, approve: Approve = lambda *_: None, *, actor: str = "cli") -> Models:
        """Exchange the active and the previous model, without loading anything. Raises NoPreviousModel."""
        with self._alone():
            before = self._models
            if before.previous is None:
                raise NoPreviousModel(
                    "no previous model is loaded beside", before.active.card.model_id, "Activate a model by its name."
                )
            approve(before, before.previous)
            return self._move(_beside(before, before.previous, before.active), actor)

    def unload(self, name: str, *, actor: str = "cli") -> Models:
        """Let go of a model, by its model_id or reference; requests in flight finish on it.

        Raises ModelNotLoaded, ModelInUse for the one that answers, SwapInProgress, and whatever `remember` raises.
        """
        with self._alone():
            before, model = self._models, self._models.named(name)
            if model is before.active:
                raise ModelInUse("this model answers", model.card.model_id, "Activate another one first.")
            previous = None if model is before.previous else before.previous
            kept = tuple(each for each in before.candidates if each is not model)
            after = Models(before.active, previous, kept)
            if model is before.previous:
                return self._move(after, actor)
            self._models = after
            return after

    def _move(self, models: Models, actor: str) -> Models:
        self._remember(models, actor)
        self._models = models
        return models

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._changing.acquire(blocking=False):
            raise SwapInProgress(
                "another swap has not finished; the active model is",
                self._models.active.card.model_id,
                "Wait for it, look at GET /v1/models, and ask again.",
            )
        try:
            yield
        finally:
            self._changing.release()


def _beside(before: Models, active: Active, previous: Active | None) -> Models:
    """The Models after a move; neither of the two is a candidate any longer."""
    taken = {each.card.model_id for each in (active, previous) if each is not None}
    candidates = tuple(each for each in before.candidates if each.card.model_id not in taken)
    return Models(active, previous, candidates)
