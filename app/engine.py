"""Photo bytes in, names out: the stages of one request, over a gallery and the model that is active."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.admission import Ticket
from app.changeover import Changeover
from app.gatekeeper import Gatekeeper
from app.idempotency import Once
from app.loading import Loader, blank
from app.metrics import Meters
from app.references import absolute, starting_model
from app.settings import Settings
from app.shadow import open_shadow
from app.stages import RequestStages, SharedStages, Workload, open_stages
from app.swap import Active, Models, Switch
from app.thresholds import Thresholds
from app.trail import Trail
from app.trial import Floor
from app.view import Rule, View
from faces.detect import open_detector
from faces.errors import FacesError
from faces.image import ImageLimits
from index.device import engine_on
from index.gallery import LocalGallery, open_gallery, utc_now
from index.guard import Mode
from index.identify import Identified, identify
from index.repeats import Repeats
from index.threshold import Threshold

_LOG: Final = logging.getLogger(__name__)
_BLANK: Final = 256  # pixels a side of the photo that warms the detector up: no stage of the cascade is skipped by size


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The answer to one photo, the model it was answered by, and what it cost."""

    active: Active
    found: Identified
    timings_ms: Mapping[str, float]
    """Milliseconds by step: decode, detect, quality, align, embed, search; and wait, for a turn at any of them."""
    thresholds: tuple[Threshold, ...] = ()
    """Of this model in this collection, at several FPIRs, the highest first."""


class Engine:
    """Answers photos. Safe to call from several threads at once; each waits for its turn at the shared stages."""

    def __init__(
        self,
        gallery: LocalGallery,
        stages: SharedStages,
        changeover: Changeover,
        thresholds: Thresholds,
        limits: ImageLimits,
        *,
        clock: Callable[[], float] = time.perf_counter,
        meters: Meters | None = None,
        guard: Mode = "flag",
    ) -> None:
        self.gallery: Final = gallery
        self.stages: Final = stages
        self.changeover: Final = changeover
        self.switch: Final = changeover.switch
        self.thresholds: Final = thresholds
        self.guard: Final[Mode] = guard
        self.trail: Final = Trail(gallery.store)
        self.once: Final = Once(Repeats(gallery.store), utc_now)
        self._limits = limits
        self._meters = meters or Meters()
        self._clock = clock

    def identify(
        self,
        read: Callable[[], bytes],
        top_k: int,
        ticket: Ticket,
        *,
        gallery: LocalGallery | None = None,
        rule: Rule | None = None,
        only_good: bool = False,
    ) -> Answered:
        """Every face of a photo (JPEG, PNG or WebP bytes), each with its top_k Candidates and a Decision.

        read: called when the photo's turn has come, on another thread. gallery: a collection, None: the one that the
        service was started with. only_good: see `index.identify`.
        Raises ImageTooLarge, ImageTypeRefused or ImageUnreadable, SpaceMismatch, NotCalibrated, and what
        `Ticket.result` raises. A photo without a face has no faces: no error.
        """
        began, view = self._clock(), self.view(gallery or self.gallery, ticket)
        threshold = view.threshold(rule or Rule())
        found = identify(view.photo(read), view.stages, threshold, top_k, only_good=only_good)
        wait = (self._clock() - began) * 1000 - sum(view.stages.laps.values())
        return self.answered(view, found, {"wait": wait})

    def answered(self, view: View, found: Identified, more_ms: Mapping[str, float]) -> Answered:
        """An answer, counted. more_ms: what it took beside the stages, by what."""
        timings = {**more_ms, **view.stages.laps}
        self._meters.answered(view.active.card.model_id, timings, found)
        return Answered(view.active, found, timings, self.thresholds.several(view.gallery, view.active.card))

    def view(self, gallery: LocalGallery, ticket: Ticket) -> View:
        """What a request works with from its start to its end, whatever is swapped meanwhile."""
        active = self.switch.models.active
        stages = RequestStages(self.stages, ticket, active.embedder, gallery)
        return View(active, gallery, stages, self.thresholds, self._limits)

    def collection(self, name: str) -> LocalGallery:
        """Raises CollectionUnknown."""
        return self.gallery if name == self.gallery.collection else self.gallery.store.gallery(name)

    def warm_up(self) -> None:
        """One inference of the detector and one search: the first of each is many times slower than the next."""
        self.stages.detector.detect([np.zeros((_BLANK, _BLANK, 3), dtype=np.uint8)])
        embedder = self.switch.models.active.embedder
        self.gallery.search(embedder.embed(blank(embedder.card.crop)), 1, space=embedder.space)


@contextmanager
def open_engine(settings: Settings, meters: Meters | None = None) -> Iterator[Engine]:
    """An Engine over the settings' gallery and model, warm; drained and closed at the end.

    Raises the errors of `engine_on`, `open_gallery`, `open_detector`, `starting_model` and `Loader`.
    """
    given = settings.model and absolute(settings.model)
    thresholds = Thresholds(settings.fpir, settings.threshold)
    with (
        open_gallery(settings.gallery, engine=engine_on(settings.device)) as gallery,
        open_shadow(thresholds, settings.limits, utc_now) as shadow,
    ):
        load = Loader(gallery, settings, thresholds)

        def remember(models: Models, actor: str) -> None:
            previous = None if models.previous is None else models.previous.reference
            gallery.set_active_model(models.active.reference, previous=previous, started_with=given, actor=actor)

        stored, started_with = gallery.active_model(), gallery.started_with()
        reference = starting_model(given, None if settings.forget_swap else stored, started_with)
        if given not in (None, reference):
            _LOG.warning("swapped to %s since --model %s was given; --forget-swap goes back", reference, given)
        previous = _reloaded(load, gallery.previous_model()) if reference == stored else None
        switch = Switch(load(reference), load, remember, previous)
        work = Workload(settings.cores, settings.stuck_after, settings.drain)
        meters = meters or Meters()
        with open_stages(open_detector(threads=1), work, ran=meters.batch) as stages:
            changeover = Changeover(
                gallery,
                switch,
                Gatekeeper(thresholds, stages.detector, settings.limits, utc_now),
                shadow,
                floor=Floor.parse(settings.floor),
                probes=settings.probes,
                limits=settings.limits,
            )
            engine = Engine(
                gallery,
                stages,
                changeover,
                thresholds,
                settings.limits,
                meters=meters,
                guard=settings.guard,
            )
            engine.warm_up()
            if reference == given and (stored, started_with) != (given, given):
                remember(switch.models, "cli")
            yield engine


def _reloaded(load: Loader, reference: str | None) -> Active | None:
    """The model before the active one, for the way back; None when there was none, or it cannot be had any more."""
    try:
        return None if reference is None else load(reference)
    except FacesError as error:
        _LOG.warning("the previous model cannot be loaded, so there is no way back to it: %s", error)
        return None
