"""A student on its teacher's protocols: the one call that measures, and what becomes of the figures on a card."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from rich.console import Group
from rich.table import Table

from faces.console import progress
from faces.detect import Detector
from faces.embed import ModelEmbedder
from faces.errors import CardInvalid
from faces.files import write_whole
from faces.models import Model
from faces.space import Cell, Grid, ModelCard, read_card
from kd.errors import ProtocolInvalid
from kd.evaluate.answer import answer
from kd.evaluate.bootstrap import RESAMPLES
from kd.evaluate.figures import CellName, Figure, Judged, PairResult, Report, SearchResult
from kd.evaluate.grid import judge_pairs, judge_search, judgement
from kd.evaluate.photos import Embedded, Embeddings, Pixels, embed_photos, photos_asked
from kd.evaluate.protocol import Protocol
from kd.evaluate.sheet import Sheet
from kd.evaluate.sheets import sheets

_DIGITS: Final = 4  # of what a card keeps


def evaluate(
    protocols: Sequence[Protocol],
    detector: Detector,
    teacher: ModelEmbedder,
    student: ModelEmbedder | None = None,
    *,
    resolutions: Iterable[int] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Report:
    """The 2×2 of each protocol, T→T alone without a student; with probes at each resolution besides (pixels).

    Every photo is read and searched for faces once. For dlib and small-dlib, on one core of an EPYC, that is 40 ms a
    photo, 80 with four resolutions; judging 2,692 photos of LFW (N = 370 and 1,010) and 840 of CFP by 1,000 resamples
    then takes 3 s, or 13.
    Raises SpaceMismatch or ProtocolInvalid before any photo is read.
    """
    if student is not None:
        teacher.space.require_same(student.space, "Give the teacher that the student was distilled from.")
    _require_distinct(protocols)
    embedders = [teacher] if student is None else [teacher, student]
    reduced = sorted(set(resolutions), reverse=True)
    asked = photos_asked(protocols, reduced)
    embedded = embed_photos(asked, [protocol.crops for protocol in protocols], detector, embedders)
    pairs: list[PairResult] = []
    searches: list[SearchResult] = []
    with progress("judging", total=len(protocols) * (1 + len(reduced))) as advance:
        for protocol in protocols:
            judged = judgement(protocol, resamples=resamples, seed=seed)
            gallery = judged.sides(_embeddings(embedded, len(embedders), None), teacher.space.dim)
            for pixels in (None, *reduced):
                probes = judged.sides(_embeddings(embedded, len(embedders), pixels), teacher.space.dim)
                pairs += [judge_pairs(judged, one, probes, gallery, pixels) for one in protocol.pairs]
                searches += [judge_search(judged, one, probes, gallery, pixels) for one in protocol.searches]
                advance(1)
    return Report(
        _judged(teacher.card),
        None if student is None else _judged(student.card),
        resamples,
        seed,
        len(asked),
        embedded.failed,
        tuple(pairs),
        tuple(searches),
    )


def _require_distinct(protocols: Sequence[Protocol]) -> None:
    names = [protocol.name for protocol in protocols]
    for name in names:
        if names.count(name) > 1:
            raise ProtocolInvalid("two protocols of one name", name, "Name them apart: NAME=KIND:PATH.")


def _embeddings(embedded: Embedded, sides: int, pixels: Pixels) -> dict[str, Embeddings]:
    return {side: embedded.rows.get((number, pixels), {}) for number, side in enumerate("TS"[:sides])}


def _judged(card: ModelCard) -> Judged:
    return Judged(card.name, card.model_id, card.parameters)


def require_searches(protocols: Sequence[Protocol]) -> None:
    """Raises ProtocolInvalid where nobody is searched for in any: there is nothing that a card has a place for."""
    if not any(protocol.searches for protocol in protocols):
        names = ", ".join(protocol.name for protocol in protocols)
        raise ProtocolInvalid(
            "nothing for a card: nobody is searched for in", names, "Leave --write-card out, or give one with probes."
        )


def write_measured(model: Model, report: Report) -> None:
    """Put the 2×2 of each search into the Model's card, as PROTOCOL-N; other protocols' stay. Raises CardInvalid."""
    if model.card_file is None:
        remedy = (
            "Make it a Model with kd teacher import, or put its card beside it under its own name, ending in .json."
        )
        raise CardInvalid("no card to write into", str(model.onnx), remedy)
    card = read_card(model.card_file)
    measured = {**card.measured, **{search.key: grid_of(report, search) for search in report.whole_searches}}
    write_whole(model.card_file, replace(card, measured=measured).to_json().encode())


def grid_of(report: Report, search: SearchResult) -> Grid:
    pairs = next(
        (one for one in report.whole_pairs if (one.protocol, one.name) == (search.protocol, search.name)), None
    )
    return {
        name: Cell(
            subjects=search.subjects,
            mated=search.mated,
            non_mated=search.non_mated,
            rank1=_rounded(cell.rank["1"]),
            fnir={fpir: _rounded(at.rate) for fpir, at in cell.fnir.items()},
            thresholds={fpir: _rounded_up(at.threshold) for fpir, at in cell.fnir.items()},
            pairs=_accuracy(pairs, name),
        )
        for name, cell in search.cells.items()
    }


def _accuracy(pairs: PairResult | None, name: CellName) -> float | None:
    accuracy = pairs.cells[name].accuracy if pairs else None
    return None if accuracy is None else _rounded(accuracy)


def _rounded(figure: Figure) -> float:
    return round(figure.value, _DIGITS)


def _rounded_up(threshold: Figure) -> float:
    """Never below: a threshold is the next float above a stranger's score, whom a lower one would let in."""
    nearest = _rounded(threshold)
    return nearest if nearest >= threshold.value else round(nearest + 10**-_DIGITS, _DIGITS)


def as_table(report: Report) -> Group:
    """For a terminal: the answer, and the tables without their intervals."""
    return Group(" ".join(answer(report)), *(_table(sheet) for sheet in sheets(report)))


def _table(sheet: Sheet) -> Table:
    table = Table(*sheet.head, title=sheet.title, caption=sheet.note, title_justify="left", caption_justify="left")
    for row in sheet.rows:
        table.add_row(*(shown.text for shown in row))
    return table
