"""The tables of a report, made once for the terminal, Markdown and HTML alike."""

from kd.evaluate.by_resolution import resolution_sheets
from kd.evaluate.figures import Report
from kd.evaluate.pairs import FARS
from kd.evaluate.rates import ENOUGH
from kd.evaluate.search import FPIRS, RANKS
from kd.evaluate.sheet import Row, Sheet, Shown, cosines, label, operating_point, shown, which


def sheets(report: Report) -> list[Sheet]:
    """Every table that has a row."""
    made = (
        _search_sheet(report),
        _comparison_sheet(report),
        _transfer_sheet(report),
        _impostor_sheet(report),
        _pair_sheet(report),
        *resolution_sheets(report),
    )
    return [sheet for sheet in made if sheet.rows]


def _search_sheet(report: Report) -> Sheet:
    open_set = [text for fpir in FPIRS for text in (f"FNIR at FPIR {fpir:g}", "threshold")]
    rows = [
        (
            *which(search),
            Shown(name),
            *(shown(cell.rank[str(k)]) for k in RANKS),
            *(one for fpir in FPIRS for one in operating_point(cell.fnir.get(f"{fpir:g}"))),
        )
        for search in report.whole_searches
        for name, cell in search.cells.items()
    ]
    counts = [
        f"{search.key}: {search.mated:,} mated and {search.non_mated:,} non-mated probes" + _support(search.non_mated)
        for search in report.whole_searches
    ]
    note = "A photo without a face is a miss; equal scores count against the mate. " + "; ".join(counts) + "."
    head = ("protocol", "N", "probe → gallery", *(f"rank-{k}" for k in RANKS), *open_set)
    return Sheet("1:N, the 2×2", head, tuple(rows), note)


def _support(non_mated: int) -> str:
    if non_mated == 0:
        return " (closed set: no FPIR)"
    return f" (FPIR {min(FPIRS):g} rests on {int(min(FPIRS) * non_mated + 1e-9)} of them)"


def _comparison_sheet(report: Report) -> Sheet:
    rows = [
        (
            *which(search),
            *map(shown, (one.retention, one.self_retention)),
            shown(one.gain, "+.3f"),
            shown(one.flips),
        )
        for search in report.whole_searches
        if (one := search.comparison)
    ]
    note = (
        "Of rank 1. Retention is S→T / T→T, self-retention S→S / T→T, gain S→T - S→S: what the teacher's gallery lends "
        "its student. Negative flips are mated probes that the teacher finds in its gallery and the student does not."
    )
    head = ("protocol", "N", "retention", "self-retention", "gain", "negative flips")
    return Sheet("The student in the teacher's gallery", head, tuple(rows), note)


def _transfer_sheet(report: Report) -> Sheet:
    rows = [
        (
            *which(search),
            Shown(fpir),
            Shown(f"{transfer.threshold:.4f}"),
            shown(transfer.fpir),
            shown(transfer.fnir),
            *operating_point(search.cells["S→T"].fnir[fpir])[::-1],
        )
        for search in report.whole_searches
        if search.comparison
        for fpir, transfer in search.comparison.transfer.items()
    ]
    note = "What S→T really does at the threshold that gives T→T the FPIR asked for, held fixed; then at its own."
    head = ("protocol", "N", "FPIR asked", "teacher's threshold", "FPIR", "FNIR", "own threshold", "FNIR at its own")
    return Sheet("Threshold transfer", head, tuple(rows), note)


def _impostor_sheet(report: Report) -> Sheet:
    rows: list[Row] = []
    for search in report.whole_searches:
        for name, cell in search.cells.items():
            one = cell.impostors
            rows.append((*which(search), Shown(name), *cosines(one.mean, one.deviation, one.quantile)))
        if search.comparison:
            shift = search.comparison.shift
            moved = (shift.mean, shift.deviation, shift.quantile)
            rows.append((*which(search), Shown("S→T less T→T"), *cosines(*moved, form="+.4f")))
    tails = {search.key: search.cells["T→T"].impostors.tail for search in report.whole_searches}
    note = (
        "Cosines of every probe with every enrolled template of somebody else. The upper tail is what so many reach: "
    )
    note += ", ".join(f"{tail:g} in {key}" for key, tail in tails.items()) + "."
    head = ("protocol", "N", "probe → gallery", "mean", "standard deviation", "upper tail")
    return Sheet("Impostor scores", head, tuple(rows), note)


def _pair_sheet(report: Report) -> Sheet:
    rows = [
        (
            Shown(label(pairs)),
            Shown(name),
            shown(cell.accuracy),
            *(shown(at.rate if (at := cell.tar.get(f"{far:g}")) else None) for far in FARS),
        )
        for pairs in report.whole_pairs
        for name, cell in pairs.cells.items()
    ]
    counts = [f"{one.key}: {one.genuine:,} genuine and {one.impostor:,} impostor" for one in report.whole_pairs]
    note = "Accuracy: the threshold of one fold chosen on the others; none without folds. A FAR is reported from "
    note += f"{ENOUGH} / FAR impostor pairs on. " + "; ".join(counts) + "."
    head = ("protocol", "probe → gallery", "accuracy", *(f"TAR at FAR {far:g}" for far in FARS))
    return Sheet("1:1", head, tuple(rows), note)
