"""All that may be done with the models of a running service, each on record: load, gate, shadow, activate, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import GateRefused, ModelInUse, ProbesMissing
from app.gatekeeper import Gatekeeper, Hearing, Verdict
from app.probes import Probe, probes_in
from app.shadow import Shadow, Watch
from app.swap import Active, Models, Switch
from app.trial import Floor
from faces.image import ImageLimits
from index import audit
from index.gallery import LocalGallery

_ROWS: Final = 10_000  # of the audit log, that are looked through for the gate's last word
_Body = dict[str, str | int | float | None]
"""Of a row of the audit log: ids, counts and rates; no photo, vector or name."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The Models at one moment, and what is known of them."""

    models: Models
    watch: Watch | None
    verdicts: dict[str, Verdict]
    """By model_id: what is to be told of it."""
    stored_probes: bool


class Changeover:
    """Moves models through loaded → gated → shadow → active → previous.

    The gate binds: while the last word on a model in any collection is that it must not take over from the present one,
    it is activated by force alone. The audit log is asked for that word, so neither unloading nor a restart takes it
    back. Where the operator has stored probes, a model is measured on them first, and in the collection that the
    service was started with no other word counts; where not, it may be activated unmeasured, and the record says so.
    """

    def __init__(
        self,
        gallery: LocalGallery,
        switch: Switch,
        gatekeeper: Gatekeeper,
        shadow: Shadow,
        *,
        floor: Floor,
        probes: Path | None,
        limits: ImageLimits,
    ) -> None:
        self._gallery = gallery
        self.switch: Final = switch
        self.shadow: Final = shadow
        self.floor: Final = floor
        self._gatekeeper = gatekeeper
        self._probes = probes
        self._limits = limits
        self._measured: set[tuple[str, str]] = set()
        """Ids of models, old and new, that were measured on the stored probes since the service runs."""

    @property
    def state(self) -> State:
        models = self.switch.models
        verdicts = {model.card.model_id: self._gatekeeper.said(model, models.active) for model in models.all}
        known = {model_id: verdict for model_id, verdict in verdicts.items() if verdict is not None}
        return State(models, self.shadow.watch, known, self._probes is not None)

    def load(self, reference: str, actor: str) -> State:
        """Have a model loaded beside the active one. Raises what `Switch.load` raises."""
        model = self.switch.load(reference)
        self._record(actor, "load_model", {"model_id": model.card.model_id})
        return self.state

    def unload(self, name: str, actor: str) -> State:
        """Let go of a model that does not answer. Raises what `Switch.unload` raises."""
        model = self.switch.models.named(name)
        self._record(actor, "unload_model", {"model_id": model.card.model_id})
        self.switch.unload(model.card.model_id, actor=actor)
        self._after_change()
        return self.state

    def hear(
        self, reference: str, gallery: LocalGallery, probes: Sequence[Probe] | Path, floor: Floor, actor: str, *,
        trial: str | None = None, more: bool = False,
    ) -> tuple[Hearing, Verdict]:  # fmt: skip
        """Measure a model against the active one, in this collection, on these photos or on a folder of people.

        trial: the id of the Hearing that they go on with. more: others follow, so nothing is decided yet.
        Raises ModelInUse for the active model, NotCalibrated, ProbesMissing, SpaceMismatch, TrialUnknown, and what
        `Switch.load` raises.
        """
        gatekeeper = self._gatekeeper
        new, old = self._beside(reference)
        hearing = gatekeeper.open(gallery, old, new) if trial is None else gatekeeper.find(trial, gallery, old, new)
        hearing.hear(probes_in(probes, self._limits) if isinstance(probes, Path) else probes)
        if more:
            return hearing, gatekeeper.so_far(hearing, floor)
        return hearing, self._judged(hearing, floor, actor, stored=False)

    def hear_stored(self, reference: str, gallery: LocalGallery, floor: Floor, actor: str) -> tuple[Hearing, Verdict]:
        """The same on the service's probes. By another floor, or elsewhere, they do not say what its own gate says.

        Raises the same, and ProbesMissing where the service has none.
        """
        if self._probes is None:
            raise ProbesMissing("photos to measure with", 0, "Send some; or serve with --probes FOLDER.")
        new, old = self._beside(reference)
        hearing = self._gatekeeper.open(gallery, old, new)
        hearing.hear(probes_in(self._probes, self._limits))
        stored = floor == self.floor and gallery.collection == self._gallery.collection
        verdict = self._judged(hearing, floor, actor, stored=stored)
        if stored:
            self._measured.add((old.card.model_id, new.card.model_id))
        return hearing, verdict

    def _judged(self, hearing: Hearing, floor: Floor, actor: str, *, stored: bool) -> Verdict:
        verdict = self._gatekeeper.close(hearing, floor, stored=stored)
        self._record(actor, "gate", _told(verdict) | {"stored": int(stored)}, verdict.collection)
        return verdict

    def watch(self, reference: str, share: float, actor: str) -> State:
        """Put a model into the active one's shadow, for a share of live probes. Share 0 ends it.

        Raises ModelInUse for the active model, and what `Switch.load` raises.
        """
        if share == 0:
            self._record(actor, "shadow", {"share": share})
            self.shadow.stop()
            return self.state
        new, old = self._beside(reference)
        self._record(actor, "shadow", {"model_id": new.card.model_id, "against": old.card.model_id, "share": share})
        self.shadow.start(new, old, share)
        self._after_change()  # another swap may have come between
        return self.state

    def activate(self, reference: str, actor: str, *, force: bool = False) -> State:
        """Let a model answer. Raises GateRefused, and what `Switch.activate` and `hear` raise."""
        if self._probes is not None and not force:
            self._measure(reference, actor)

        def approve(models: Models, new: Active) -> None:
            words = self._last_words(models.active, new)
            if not force and not _same(models.active, new):
                self._require_passed(models.active, new, words)
            gate = "none" if not words else "passed" if all(word["passed"] for word in words.values()) else "refused"
            self._record(actor, "swap", _moved(models.active, new) | {"gate": gate, "forced": int(force)})

        self.switch.activate(reference, approve, actor=actor)
        self._after_change()
        return self.state

    def forget_collection(self, name: str) -> None:
        """That collection was deleted."""
        self._gatekeeper.forget_collection(name)

    def roll_back(self, actor: str) -> State:
        """Back to the previous model, at once. Raises what `Switch.roll_back` raises."""

        def approve(models: Models, new: Active) -> None:
            self._record(actor, "rollback", _moved(models.active, new))

        self.switch.roll_back(approve, actor=actor)
        self._after_change()
        return self.state

    def _measure(self, reference: str, actor: str) -> None:
        """On the stored probes, unless it was measured since the present model answers."""
        new, old = self.switch.load(reference), self.switch.models.active
        if not _same(old, new) and (old.card.model_id, new.card.model_id) not in self._measured:
            self.hear_stored(new.card.model_id, self._gallery, self.floor, actor)

    def _beside(self, reference: str) -> tuple[Active, Active]:
        """A model that is loaded, and the active one, which it must not be."""
        new, old = self.switch.load(reference), self.switch.models.active
        if _same(old, new):
            raise ModelInUse("this model answers already", new.card.model_id, "Name the one that is to take over.")
        return new, old

    def _require_passed(self, old: Active, new: Active, words: Mapping[str, Mapping[str, Any]]) -> None:
        if self._probes is not None and (old.card.model_id, new.card.model_id) not in self._measured:
            raise GateRefused(  # another swap came between measuring and moving
                "not measured against the model that answers now", new.card.model_id, "Ask again: it will be."
            )
        for collection, word in words.items():
            if not word["passed"]:
                raise GateRefused(
                    f"the gate refuses this model in {collection} ({word.get('reasons', '')})", new.card.model_id,
                    "Look at the table, put it in the shadow, or force it: that is recorded.",
                )  # fmt: skip

    def _last_words(self, old: Active, new: Active) -> dict[str, Mapping[str, Any]]:
        """Collection -> the newest row of the audit log that counts, in which the gate judged these two there."""
        there = {collection.name for collection in self._gallery.store.collections()}
        since = {row.collection: row.seq for row in reversed(self._recorded("create_collection"))}  # names come again
        words: dict[str, Mapping[str, Any]] = {}
        for row in self._recorded("gate"):
            pair = row.body.get("against"), row.body.get("model_id")
            counts = self._probes is None or row.collection != self._gallery.collection or row.body.get("stored")
            stands = row.collection in there and row.seq > since.get(row.collection, 0)
            if pair == (old.card.model_id, new.card.model_id) and counts and stands:
                words.setdefault(row.collection, row.body)
        return words

    def _recorded(self, action: str) -> list[audit.Entry]:
        """The newest first."""
        return self._gallery.store.read(lambda connection: audit.entries(connection, _ROWS, action=action))

    def _record(self, actor: str, action: str, body: _Body, collection: str | None = None) -> None:
        """In the audit log, durable when it returns: it is called before what it tells of."""
        of = collection or self._gallery.collection
        self._gallery.store.audit(actor, action, collection=of, body=body)

    def _after_change(self) -> None:
        """A shadow ends when either of its two models is no longer where it was."""
        models, watch = self.switch.models, self.shadow.watch
        self._gatekeeper.forget(models.all)
        if watch is not None and watch.running:
            loaded = {model.card.model_id for model in models.all[1:]}
            if watch.against.model_id != models.active.card.model_id or watch.candidate.model_id not in loaded:
                self.shadow.stop()


def _same(one: Active, other: Active) -> bool:
    return one.card.model_id == other.card.model_id


def _moved(old: Active, new: Active) -> _Body:
    return {"model_id": new.card.model_id, "from": old.card.model_id, "threshold": new.threshold.value}


def _told(verdict: Verdict) -> _Body:
    found = verdict.found
    return {
        "model_id": verdict.new.model_id,
        "against": verdict.old.model_id,
        "passed": int(verdict.passed),
        "reasons": "; ".join(verdict.reasons),
        "floor": str(verdict.floor),
        "mated": found.new.rank1.of,
        "non_mated": found.new.fpir.of,
        "kept": found.kept.value,
        "fnir_old": found.old.fnir.value,
        "fnir_new": found.new.fnir.value,
        "fpir_old": found.old.fpir.value,
        "fpir_new": found.new.fpir.value,
    }
