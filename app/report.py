"""What `app swap` says, in words."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from app.schemas import LoadedModel, ModelsAnswer
from app.verdicts import DifferenceAnswer, GateAnswer, ShareAnswer, SideAnswer

_RATES: Final[Mapping[str, Callable[[SideAnswer], ShareAnswer]]] = MappingProxyType(
    {
        "rank-1, mated": lambda side: side.rank1,
        "FNIR, mated": lambda side: side.fnir,
        "FPIR seen, non-mated": lambda side: side.fpir,
    }
)


def swapped(answer: ModelsAnswer) -> str:
    new, old = answer.active, answer.previous
    return f"{named(old) if old else 'nothing'} → {named(new)}, threshold {new.calibration.threshold:.4f}"


def shadowed(answer: ModelsAnswer) -> str:
    watch = answer.shadow
    if watch is None:
        return "no model is in the shadow"
    if not watch.running:
        return f"{watch.model.name} is compared no longer; GET /v1/models has the counts"
    return (
        f"{watch.model.name} ({watch.model.model_id}) is compared with {watch.against.name} on {watch.share:.0%} of "
        "live requests; GET /v1/models has the counts"
    )


def named(model: LoadedModel) -> str:
    return f"{model.name} ({model.role}, {model.model_id})"


def judged(verdict: GateAnswer) -> str:
    """The table of the gate, and what follows from it."""
    head = [verdict.collection, f"present: {verdict.old.model.name}", f"new: {verdict.new.model.name}"]
    rows = [["threshold", _threshold(verdict.old), _threshold(verdict.new)]]
    rows += [[name, _share(rate(verdict.old)), _share(rate(verdict.new))] for name, rate in _RATES.items()]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(3)]
    table = [_line(row, widths) for row in [head, *rows]]
    skipped = [f"no probe: {photo.filename}: {photo.reason}: {photo.detail}" for photo in verdict.skipped]
    both = [
        f"FNIR rises by {_difference(verdict.fnir_rise)}; by {verdict.floor.fnir:g} at most is allowed",
        f"rank-1 kept {_share(verdict.rank1_kept)}; {verdict.floor.kept:g} at least is asked for",
        f"rank-1 agreement {_share(verdict.rank1_agreement)}; the same decision for {_share(verdict.decisions_alike)}",
        "[…]: 95 %, over people",
    ]
    doubts = [f"not certain: {doubt}" for doubt in verdict.doubts]
    verdicts = [f"refused: {reason}" for reason in verdict.reasons] or ["passed"]
    return "\n".join([*skipped, *table, *both, *doubts, *verdicts])


def _line(cells: list[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _threshold(side: SideAnswer) -> str:
    found = side.calibration
    return f"{found.threshold:.4f}" + ("" if found.fpir is None else f" for FPIR {found.fpir:g}")


def _share(share: ShareAnswer) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "no probes"
    return f"{share.count} of {share.of} = {share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"


def _difference(found: DifferenceAnswer) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "nothing known"
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
