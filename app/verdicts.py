"""What the service says of models that are measured: by the gate, and in the shadow.

Fields may be added; none is renamed or removed.
"""

from typing import Annotated

from pydantic import Field

from app.gatekeeper import Hearing, Verdict
from app.intervals import Difference, Share
from app.shadow import Watch
from app.trial import Side
from index.answers import ModelAnswer, Schema, ThresholdAnswer


class ShareAnswer(Schema):
    """`count` of `of` probes, of `people` people; the share, and where the true one lies with 95 %."""

    count: int
    of: int
    people: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def said(cls, share: Share) -> "ShareAnswer":
        return cls(
            count=share.count,
            of=share.of,
            people=share.people,
            value=_rounded(share.value),
            low=_rounded(share.low),
            high=_rounded(share.high),
        )


class DifferenceAnswer(Schema):
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def said(cls, found: Difference) -> "DifferenceAnswer":
        return cls(value=_rounded(found.value), low=_rounded(found.low), high=_rounded(found.high))


class SideAnswer(Schema):
    model: ModelAnswer
    calibration: Annotated[ThresholdAnswer, Field(description="The threshold that it was judged at: its own.")]
    rank1: Annotated[ShareAnswer, Field(description="Of mated probes: the nearest Subject is theirs.")]
    fnir: Annotated[ShareAnswer, Field(description="Of mated probes: not answered with their Subject.")]
    fpir: Annotated[ShareAnswer, Field(description="Of non-mated probes: answered with somebody.")]

    @classmethod
    def said(cls, model: ModelAnswer, side: Side) -> "SideAnswer":
        return cls(
            model=model,
            calibration=ThresholdAnswer(**ThresholdAnswer.fields_of(side.threshold)),
            rank1=ShareAnswer.said(side.rank1),
            fnir=ShareAnswer.said(side.fnir),
            fpir=ShareAnswer.said(side.fpir),
        )


class FloorAnswer(Schema):
    fnir: Annotated[float, Field(description="By how much the FNIR may rise.")]
    kept: Annotated[float, Field(description="Of what the present model ranks first rightly, the share to be kept.")]


class SkippedAnswer(Schema):
    filename: str
    reason: Annotated[str, Field(description="Stable, for programs.")]
    detail: str


class VerdictAnswer(Schema):
    """A new model against the present one, on the same probes in the same gallery."""

    passed: bool
    reasons: Annotated[list[str], Field(description="Why it must not take over; empty when it may.")]
    doubts: Annotated[list[str], Field(description="What the probes were too few to tell.")]
    collection: Annotated[str, Field(description="In which both searched.")]
    floor: FloorAnswer
    old: Annotated[SideAnswer, Field(description="The model that answered when this was measured.")]
    new: SideAnswer
    fnir_rise: Annotated[DifferenceAnswer, Field(description="The new FNIR minus the old one.")]
    rank1_agreement: Annotated[ShareAnswer, Field(description="Of mated probes: both have the same nearest Subject.")]
    rank1_kept: Annotated[
        ShareAnswer, Field(description="Of the mated probes that the old model ranks right: the new one does too.")
    ]
    decisions_alike: Annotated[ShareAnswer, Field(description="Of all probes: both decide the same.")]
    date: str

    @classmethod
    def said(cls, verdict: Verdict) -> "VerdictAnswer":
        found = verdict.found
        return cls(
            passed=verdict.passed,
            reasons=list(verdict.reasons),
            doubts=list(verdict.doubts),
            collection=verdict.collection,
            floor=FloorAnswer(fnir=verdict.floor.fnir, kept=verdict.floor.kept),
            old=SideAnswer.said(ModelAnswer.of(verdict.old), found.old),
            new=SideAnswer.said(ModelAnswer.of(verdict.new), found.new),
            fnir_rise=DifferenceAnswer.said(found.rise),
            rank1_agreement=ShareAnswer.said(found.agreement),
            rank1_kept=ShareAnswer.said(found.kept),
            decisions_alike=ShareAnswer.said(found.alike),
            date=verdict.date,
        )


class GateAnswer(VerdictAnswer):
    skipped: Annotated[list[SkippedAnswer], Field(description="Photos that are no probes, and why.")]
    trial: Annotated[str, Field(description="Sent back with further photos, it has them judged together.")]
    complete: Annotated[bool, Field(description="False: more photos were announced, and nothing is decided.")]

    @classmethod
    def given(cls, hearing: Hearing, verdict: Verdict, *, complete: bool) -> "GateAnswer":
        skipped = [
            SkippedAnswer(filename=photo.name, reason=photo.reason, detail=photo.detail) for photo in hearing.skipped
        ]
        said = VerdictAnswer.said(verdict)
        return cls(skipped=skipped, trial=hearing.hearing_id, complete=complete, **dict(said))


class ScoreDifference(Schema):
    mean: float | None
    deviation: float | None
    lowest: float | None
    highest: float | None


class ShadowAnswer(Schema):
    """One model in another's shadow. A score is that of the best Candidate; differences are shadow minus live."""

    model: ModelAnswer
    against: Annotated[ModelAnswer, Field(description="The model whose answers are returned.")]
    share: Annotated[float, Field(description="Of live requests, those that are compared.")]
    since: str
    running: bool
    photos: int
    faces: int
    alike: Annotated[int, Field(description="Faces for which both decide the same.")]
    live_only: Annotated[int, Field(description="Named by the live model alone.")]
    shadow_only: Annotated[int, Field(description="Named by the shadow alone.")]
    other: Annotated[int, Field(description="Named by both, not the same.")]
    nearest_alike: Annotated[int, Field(description="Faces with the same nearest Subject, over the threshold or not.")]
    score_difference: ScoreDifference
    dropped: Annotated[int, Field(description="Chosen, but left out: they would have delayed others.")]
    failed: int

    @classmethod
    def said(cls, watch: Watch) -> "ShadowAnswer":
        tally = watch.tally
        known = tally.scored > 0
        return cls(
            model=ModelAnswer.of(watch.candidate),
            against=ModelAnswer.of(watch.against),
            share=watch.share,
            since=watch.since,
            running=watch.running,
            photos=tally.photos,
            faces=tally.faces,
            alike=tally.alike,
            live_only=tally.live_only,
            shadow_only=tally.shadow_only,
            other=tally.other,
            nearest_alike=tally.nearest_alike,
            score_difference=ScoreDifference(
                mean=_rounded(tally.mean) if known else None,
                deviation=_rounded(tally.deviation),
                lowest=_rounded(tally.lowest) if known else None,
                highest=_rounded(tally.highest) if known else None,
            ),
            dropped=watch.dropped,
            failed=watch.failed,
        )


def _rounded(value: float | None) -> float | None:
    """Four digits: no probes of ours are worth more."""
    return None if value is None else round(value, 4)
