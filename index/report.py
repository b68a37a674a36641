"""What the commands of `index` say, in words."""

from collections.abc import Sequence

from index.answers import FaceAnswer, PhotoAnswer
from index.build import BuildReport, Skipped
from index.calibrate import Row
from index.overview import Overview, StoreState
from index.threshold import FROM, Threshold


def built(report: BuildReport) -> str:
    lines = [f"not enrolled: {skipped.path}: {skipped.reason}: {skipped.detail}" for skipped in report.skipped]
    lines += [f"enrolled, but {', '.join(flagged.reasons)}: {flagged.path}" for flagged in report.flagged]
    lines += [f"no photo enrolled for: {subject}" for subject in report.subjects_without_photo]
    rate = report.photos / report.seconds if report.seconds > 0 else 0.0
    return "\n".join(
        [
            *lines,
            f"{report.enrolled} photos enrolled, {report.already} were already, {len(report.skipped)} skipped; "
            f"{report.subjects} subjects; {report.photos} photos in {report.seconds:.1f} s ({rate:.1f} a second)",
        ]
    )


def identified(answer: PhotoAnswer) -> str:
    if not answer.faces:
        return f"No face found in a photo of {answer.image.width} × {answer.image.height} pixels."
    return "\n".join(_face(number, face) for number, face in enumerate(answer.faces, start=1))


def _face(number: int, face: FaceAnswer) -> str:
    box, decision = face.box, face.decision
    doubts = f" ({', '.join(face.quality.reasons)})" if face.quality.reasons else ""
    fpir = "" if decision.fpir is None else f" for FPIR {decision.fpir:g}"
    verdict = "unknown" if decision.subject_id is None else decision.subject_id
    return "\n".join(
        [
            f"face {number} at {box.x_min:.0f},{box.y_min:.0f} to {box.x_max:.0f},{box.y_max:.0f}{doubts}: {verdict}",
            f"  threshold {decision.threshold:.4f}{fpir}, from {FROM[decision.calibrated_on]}",
            *(f"  {found.score:.4f}  {_person(found.subject_id, found.name)}" for found in face.candidates),
        ]
    )


def _person(subject_id: str, name: str) -> str:
    return subject_id if name == subject_id else f"{subject_id} ({name})"


def thresholds(table: Sequence[Row]) -> str:
    return "\n".join(_threshold(row) for row in table)


def _threshold(row: Row) -> str:
    if row.threshold is None:
        return f"FPIR {row.fpir:g}: {row.reason}"
    found = row.threshold
    parts = [
        f"FPIR {row.fpir:g}: {found.value:.4f}{_interval(found)}",
        f"from {FROM[found.calibrated_on]}{_trials(found)}",
        f"N = {found.subjects} subjects",
        found.date,
    ]
    missed = "" if row.fnir is None else f"; misses {row.fnir:.1%} of {row.mated} probes of enrolled people"
    return ", ".join(parts) + missed


def _interval(threshold: Threshold) -> str:
    return "" if threshold.low is None else f" (95 %: {threshold.low:.4f} to {threshold.high:.4f})"


def _trials(threshold: Threshold) -> str:
    if threshold.trials is None:
        return ""
    return f" ({'extrapolated from ' if threshold.extrapolated else ''}{threshold.trials} people)"


def not_probes(skipped: Sequence[Skipped]) -> str:
    return "\n".join(f"no probe: {one.path}: {one.reason}: {one.detail}" for one in skipped)


def counted(found: Overview) -> str:
    models = [f"  {templates} made by model {model}" for model, templates in found.models.items()]
    head = f"{found.subjects} subjects, {found.templates} templates, version {found.version}, space {found.space_id}"
    return "\n".join([head, *models, *_searched(found), *_around(found.store)])


def _searched(found: Overview) -> list[str]:
    wanted = found.approximation
    if wanted is None:
        return ["searched exactly"]
    if found.search == "exact":
        return [f"searched exactly; approximately from {wanted.templates} templates on"]
    recall = wanted.recall
    told = f"searched approximately: recall@1 {recall.first:.4f}, recall@10 {recall.ten:.4f}"
    lines = [f"{told}, measured on {recall.templates} templates, {wanted.date}"]
    if wanted.outgrown(found.templates):
        lines.append("it has grown by half since: measure again with index approximate")
    return lines


def _around(store: StoreState) -> list[str]:
    sizes = ", ".join(f"{what} {size:,} bytes" for what, size in store.bytes.items())
    others = ", ".join(f"{name} ({templates})" for name, templates in store.collections.items())
    return [
        f"collections: {others}",
        f"embeddings: {f'sealed with key {store.sealed}' if store.sealed else 'in the clear'}",
        f"on disk: {sizes}; {len(store.backups)} backups",
        f"audit log: head {store.log}",
    ]


def checked(problems: Sequence[str]) -> str:
    return "\n".join(problems) or "In order: the file, its checksums, and the cache made from it."
