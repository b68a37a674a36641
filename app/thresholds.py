"""Which score is a match: for each collection, model and FPIR, measured once and kept as long as it holds."""

import threading
from dataclasses import dataclass, field
from typing import Final

from faces.space import ModelCard
from index.calibrate import FPIRS, Calibration, chosen, current_thresholds, outgrown
from index.gallery import LocalGallery
from index.threshold import Threshold

_MOST: Final = 64  # other FPIRs that are remembered of one table


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    subjects: int
    """N when it was made."""
    by_fpir: dict[float, Threshold]
    calibration: Calibration
    others: dict[float, Threshold] = field(default_factory=dict)
    """At FPIRs that somebody asked for beside."""
    turn: threading.Lock = field(default_factory=threading.Lock)
    """To measure one of these."""


class _Place:
    """Where the table of one collection and one model goes. Once the collection is forgotten nobody looks there."""

    def __init__(self, collection: str) -> None:
        self.collection: Final = collection
        self.turn: Final = threading.Lock()
        self.table: _Table | None = None


class Thresholds:
    """Safe to use from several threads. Answers go by the table that there is; `measure` makes a new one beside it."""

    def __init__(self, fpir: float, user: float | None = None) -> None:
        """fpir: what decides where a request says nothing. user: a cosine that decides then, instead."""
        self._fpir = fpir
        self._user = user
        self._fpirs: Final = sorted({*FPIRS, fpir}, reverse=True)
        self._places: dict[tuple[int, str], _Place] = {}
        """By the collection's number and the model_id: a name may be given again."""

    def several(self, gallery: LocalGallery, card: ModelCard) -> tuple[Threshold, ...]:
        """Those at FPIR 0.1, 0.01 and 0.001 that are known, the highest FPIR first."""
        return tuple(self._table(gallery, card).by_fpir.values())

    def deciding(
        self, gallery: LocalGallery, card: ModelCard, *, fpir: float | None = None, value: float | None = None
    ) -> Threshold:
        """The one to decide by. value: a cosine that the caller wants; fpir: one that the caller can live with.

        Raises NotCalibrated where there is none for it.
        """
        if value is not None:
            return chosen(value, gallery, card)
        if fpir is None and self._user is not None:
            return chosen(self._user, gallery, card)
        wanted, table = self._fpir if fpir is None else fpir, self._table(gallery, card)
        return table.by_fpir.get(wanted) or table.others.get(wanted) or self._measured(table, wanted)

    def known(
        self, gallery: LocalGallery, card: ModelCard, *, fpir: float | None = None, value: float | None = None
    ) -> bool:
        """Is nothing to be measured before something can be decided so?"""
        table = self._known(gallery, card)
        if table is None:
            return False
        wanted = self._fpir if fpir is None else fpir
        by_user = value is not None or (fpir is None and self._user is not None)
        return by_user or wanted in table.by_fpir or wanted in table.others

    def measure(self, gallery: LocalGallery, card: ModelCard) -> None:
        """Look anew at what is stored, and measure what is not or no longer holds."""
        place = self._place(gallery, card)
        place.table = self._made(gallery, card)

    def renew(self, gallery: LocalGallery, card: ModelCard) -> None:
        """`measure`, if that was done when the collection was half as large again, or as small to match."""
        table = self._known(gallery, card)
        if table is not None and outgrown(table.subjects, gallery.stats().subjects):
            self.measure(gallery, card)

    def collections(self) -> set[str]:
        """Those in which something was decided."""
        return {place.collection for place in self._places.copy().values() if place.table is not None}

    def forget(self, collection: str) -> None:
        """That collection was deleted. What is being measured in it goes to a place where nobody looks."""
        for key, place in self._places.copy().items():
            if place.collection == collection:
                self._places.pop(key, None)

    def _table(self, gallery: LocalGallery, card: ModelCard) -> _Table:
        place = self._place(gallery, card)
        if place.table is None:
            with place.turn:  # the first requests of a collection wait for one measurement, not for one each
                if place.table is None:
                    place.table = self._made(gallery, card)
        return place.table

    def _known(self, gallery: LocalGallery, card: ModelCard) -> _Table | None:
        place = self._places.get(_key(gallery, card))
        return None if place is None else place.table

    def _place(self, gallery: LocalGallery, card: ModelCard) -> _Place:
        key = _key(gallery, card)
        return self._places.get(key) or self._places.setdefault(key, _Place(gallery.collection))

    def _made(self, gallery: LocalGallery, card: ModelCard) -> _Table:
        subjects = gallery.stats().subjects
        rows = current_thresholds(gallery, card, self._fpirs)
        known = {row.fpir: row.threshold for row in rows if row.threshold is not None}
        return _Table(subjects, known, Calibration(gallery, card))

    def _measured(self, table: _Table, fpir: float) -> Threshold:
        with table.turn:
            found = table.calibration.threshold(fpir)  # its trials are searched for once, whatever FPIRs follow
        if len(table.others) < _MOST:
            table.others[fpir] = found
        return found


def _key(gallery: LocalGallery, card: ModelCard) -> tuple[int, str]:
    return gallery.number, card.model_id
