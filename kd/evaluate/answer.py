"""In plain words: can this student search that gallery, at which threshold, and at what cost?"""

import math
from collections.abc import Mapping
from typing import Final, TypeVar

from kd.evaluate.figures import AtThreshold, Comparison, Figure, Judged, Report, SearchResult, Transfer

Rate = TypeVar("Rate", AtThreshold, Transfer)

_VERDICTS: Final = ((0.97, "Yes"), (0.85, "Yes, at a cost"), (0.50, "In part"), (0.00, "No"))
"""The least retention at rank 1 for each: this project's floors for a base and a small student, and one half."""
_ALARM: Final = 2.0  # times the strangers that the threshold was set for: it is no longer that threshold
_LOSS: Final = 0.02  # of FNIR, that a threshold of its own would save


def headline(report: Report) -> SearchResult | None:
    """The search that the answer is about: of the first protocol, open-set before closed, with the largest N."""
    of_first = [one for one in report.whole_searches if one.protocol == report.whole_searches[0].protocol]
    return max(of_first, key=lambda one: (one.non_mated > 0, one.subjects), default=None)


def answer(report: Report) -> list[str]:
    """Sentences, the verdict first."""
    search = headline(report)
    if search is None:
        return [f"{(report.student or report.teacher).name} was judged by pairs alone: nothing was searched."]
    if report.student is None or search.comparison is None:
        return _alone(report.teacher, search)
    return _together(report.student, report.teacher, search, search.comparison)


def title(report: Report) -> str:
    if report.student is None:
        return f"{report.teacher.name} on its own gallery"
    return f"Can {report.student.name} search {report.teacher.name}'s gallery?"


def facts(report: Report) -> str:
    """What was judged, on what, and what an interval is."""
    sides = ((report.student, "S"), (report.teacher, "T"))
    models = ", ".join(
        f"{side} is {one.name} {one.model_id} ({one.parameters:,} parameters)" for one, side in sides if one
    )
    return (
        f"{models}. {report.photos:,} photos; {len(report.failed):,} gave no face and count as misses. Figures in "
        f"brackets are 95 % intervals over {report.resamples:,} resamples of people (seed {report.seed}), the gallery "
        "as it is. An interval without width says that no resample differs, not that the figure is certain: no error "
        "among n people leaves a rate of up to 3/n open."
    )


def _alone(model: Judged, search: SearchResult) -> list[str]:
    cell = search.cells["T→T"]
    sentences = [f"On its own gallery of {search.subjects:,} people {model.name} names {_named(cell.rank['1'])}."]
    for fpir, at in _strictest(cell.fnir):
        sentences.append(
            f"At the threshold {_cosine(at.threshold)}, where {_percent(float(fpir))} of strangers are answered with "
            f"somebody, it misses {_share(at.rate)} of them."
        )
    return sentences


def _together(student: Judged, teacher: Judged, search: SearchResult, compared: Comparison) -> list[str]:
    own, across = search.cells["T→T"], search.cells["S→T"]
    if math.isnan(compared.retention.value):
        return [f"Nobody can tell: {teacher.name} finds nobody in its own gallery."]
    verdict = next(word for least, word in _VERDICTS if compared.retention.value >= least)
    first = (
        f"{verdict}: in {teacher.name}'s gallery of {search.subjects:,} people {student.name} finds "
        f"{_share(compared.retention)} of what {teacher.name} finds at rank 1"
    )
    rest = [f"It names {_named(across.rank['1'])}, {teacher.name} {_share(own.rank['1'])}."]
    for fpir, transfer in _strictest(compared.transfer):
        at, before = across.fnir[fpir], own.fnir[fpir]
        first += (
            f", and at the threshold {_cosine(at.threshold)}, where {_percent(float(fpir))} of strangers are answered "
            f"with somebody, it misses {_share(at.rate)} of enrolled people's photos, {teacher.name} "
            f"{_share(before.rate)} at its own"
        )
        rest.append(
            f"At {teacher.name}'s threshold, {transfer.threshold:.4f}, it would answer {_share(transfer.fpir)} of "
            f"strangers and miss {_share(transfer.fnir)} of enrolled people's photos: "
            f"{_advice(float(fpir), transfer, at.rate)}."
        )
    return [f"{first}.", *rest]


def _strictest(rates: Mapping[str, Rate]) -> list[tuple[str, Rate]]:
    """The lowest FPIR's alone; none in a closed set."""
    return sorted(rates.items(), key=lambda one: float(one[0]))[:1]


def _advice(fpir: float, transfer: Transfer, own: Figure) -> str:
    if transfer.fpir.value > _ALARM * fpir:
        return "the old threshold lets strangers in, so give it its own"
    if transfer.fnir.value > own.value + _LOSS:
        return "the old threshold is too strict for it, so give it its own"
    return "the old threshold can stay"


def _named(figure: Figure) -> str:
    return f"{_share(figure)} of enrolled people's photos rightly"


def _share(figure: Figure) -> str:
    return f"{_percent(figure.value)} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _cosine(figure: Figure) -> str:
    return f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"
