"""Shadow: a loaded model embeds a share of live probes beside the one that answers. Compared and counted, not returned.

Nothing of it is on a request's way: a request that is chosen leaves its photo and its answer in a bounded queue, or,
when that is full, nothing. One thread of low priority works it off. What is kept is counts and sums.
"""

import hashlib
import logging
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from app.swap import Active
from app.thresholds import Thresholds
from app.view import Rule
from faces.image import ImageLimits, read_image
from faces.pipeline import embed_faces
from faces.space import ModelCard
from index.gallery import LocalGallery
from index.identify import Identified
from index.threshold import decide

_LOG: Final = logging.getLogger(__name__)
_MOST_JOBS: Final = 8
_MOST_BYTES: Final = 32 * 2**20  # of photos that wait, as they were sent
_NICE: Final = 15  # of 19: the thread runs when nobody else wants to
_CANDIDATES: Final = 5


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of the probes so far. A score is that of the best Candidate; differences are shadow minus live."""

    photos: int = 0
    faces: int = 0
    alike: int = 0
    """Faces for which both models decide the same: the same Subject, or both unknown."""
    live_only: int = 0
    """The live model named somebody, the shadow said unknown."""
    shadow_only: int = 0
    other: int = 0
    """Both named somebody, not the same."""
    nearest_alike: int = 0
    """Faces whose nearest Subject is the same, over the threshold or not."""
    scored: int = 0
    """Faces with a Candidate by both."""
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean (Welford 1962)."""
    lowest: float = math.inf
    highest: float = -math.inf

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the differences; None below two."""
        return math.sqrt(self.squares / (self.scored - 1)) if self.scored > 1 else None

    def with_decisions(self, live: str | None, shadow: str | None) -> "Tally":
        """One more face, that the two decided so."""
        field = (
            "alike" if live == shadow
            else "live_only" if shadow is None
            else "shadow_only" if live is None
            else "other"
        )  # fmt: skip
        return replace(self, faces=self.faces + 1, **{field: getattr(self, field) + 1})

    def with_nearest(self, same: bool, difference: float) -> "Tally":
        """The best Candidates of that face."""
        scored, away = self.scored + 1, difference - self.mean
        mean = self.mean + away / scored
        return replace(
            self,
            nearest_alike=self.nearest_alike + same,
            scored=scored,
            mean=mean,
            squares=self.squares + away * (difference - mean),
            lowest=min(self.lowest, difference),
            highest=max(self.highest, difference),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """One model in the shadow of another, and what came of it."""

    candidate: ModelCard
    against: ModelCard
    share: float
    since: str
    """ISO 8601, UTC."""
    running: bool = True
    tally: Tally = Tally()
    dropped: int = 0
    """Chosen, but there was no room: they would have delayed others."""
    failed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """An answer that was returned: what a shadow is compared with."""

    active: Active
    gallery: LocalGallery
    """The collection that was asked."""
    rule: Rule
    """What the caller wanted to decide by: the shadow decides by the same."""
    found: Identified


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    watch: int
    candidate: Active
    data: bytes
    live: Live


class Shadow:
    """At most one Watch at a time; the last one stays to be read. For any number of threads."""

    def __init__(self, thresholds: Thresholds, limits: ImageLimits, clock: Callable[[], datetime]) -> None:
        self._thresholds, self._limits, self._clock = thresholds, limits, clock
        self._lock = threading.Lock()  # held for a few additions, never while anything is computed
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._waiting = self._bytes = 0
        self._number = 0
        self._watch: Watch | None = None
        self._pair: tuple[Active, Active] | None = None
        """Candidate and live model while a Watch is running; afterwards neither is held."""
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    @property
    def watch(self) -> Watch | None:
        return self._watch

    def start(self, candidate: Active, against: Active, share: float) -> Watch:
        """Compare a share (0 to 1) of what `against` answers from now on, and begin to count anew."""
        with self._lock:
            self._number += 1
            self._pair = candidate, against
            since = self._clock().isoformat(timespec="seconds")
            self._watch = watch = Watch(candidate.card, against.card, share, since)
            return watch

    def stop(self) -> None:
        """Compare nothing more. What was counted stays."""
        with self._lock:
            self._pair = None
            if self._watch is not None:
                self._watch = replace(self._watch, running=False)

    def wants(self, request_id: str) -> bool:
        """Whether this request is among those to be compared."""
        watch = self._watch
        return watch is not None and watch.running and chosen(request_id, watch.share)

    def offer(self, request_id: str, data: bytes, live: Live) -> None:
        """A request was answered so. data: its photo. Returns at once."""
        if not self.wants(request_id):
            return
        with self._lock:
            if self._watch is None or self._pair is None or live.active.embedder is not self._pair[1].embedder:
                return
            if self._waiting >= _MOST_JOBS or self._bytes + len(data) > _MOST_BYTES:
                self._watch = replace(self._watch, dropped=self._watch.dropped + 1)
                return
            self._waiting, self._bytes = self._waiting + 1, self._bytes + len(data)
            self._jobs.put_nowait(_Job(self._number, self._pair[0], data, live))

    def close(self) -> None:
        """Do what was taken on, and end the thread."""
        self.stop()
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)  # Linux: of this thread alone
        while (job := self._jobs.get()) is not None:
            self._do(job)

    def _do(self, job: _Job) -> None:
        watch = self._watch
        current = watch is not None and job.watch == self._number
        tally: Tally | None = None
        if watch is not None and current:
            try:
                tally = self._compared(watch, job)
            except Exception:  # noqa: BLE001 - whatever happens in the shadow, nobody else is to notice
                _LOG.exception("the shadow failed at a photo")
        with self._lock:
            self._waiting, self._bytes = self._waiting - 1, self._bytes - len(job.data)
            if self._watch is None or not current or job.watch != self._number:
                return
            if tally is None:
                self._watch = replace(self._watch, failed=self._watch.failed + 1)
            else:
                self._watch = replace(self._watch, tally=tally)

    def _compared(self, watch: Watch, job: _Job) -> Tally:
        """This thread alone adds to the Tally."""
        tally, live, embedder = replace(watch.tally, photos=watch.tally.photos + 1), job.live, job.candidate.embedder
        searched = [found for found in live.found.faces if not found.not_searched]
        if not searched:
            return tally
        threshold = self._thresholds.deciding(live.gallery, embedder.card, fpir=live.rule.fpir, value=live.rule.value)
        probes = embed_faces(read_image(job.data, self._limits), [found.face for found in searched], embedder)
        near = live.gallery.search(probes, _CANDIDATES, space=embedder.space)
        for found, candidates in zip(searched, near, strict=True):
            decision = decide(candidates, threshold)
            tally = tally.with_decisions(found.decision.subject_id, decision.subject_id)
            if candidates and found.candidates:
                best, before = candidates[0], found.candidates[0]
                tally = tally.with_nearest(best.subject_id == before.subject_id, best.score - before.score)
        return tally


def chosen(request_id: str, share: float) -> bool:
    """Whether this request is among the share: always the same answer for the same id."""
    first = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8], "big")
    return first < share * 2**64


@contextmanager
def open_shadow(thresholds: Thresholds, limits: ImageLimits, clock: Callable[[], datetime]) -> Iterator[Shadow]:
    shadow = Shadow(thresholds, limits, clock)
    try:
        yield shadow
    finally:
        shadow.close()
