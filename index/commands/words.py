"""What the commands that look after a store say."""

from collections.abc import Sequence

from index.audit import Entry
from index.backup import Backup
from index.contract import Receipt
from index.erase import Proof, Sighting
from index.exchange import Exported, Imported
from index.holders import Holder, in_words
from index.ledger import Archived, LogState
from index.recall import Recall
from index.reseal import Resealed
from index.restore import Restored


def recalled(recall: Recall) -> str:
    return (
        f"recall@1 {recall.first:.4f}, recall@10 {recall.ten:.4f}: {recall.probes} of {recall.templates} templates, "
        f"each searched for among all others; median time {recall.ms:.2f} ms, exactly {recall.exact_ms:.2f} ms"
    )


def backed_up(backup: Backup) -> str:
    where = "index forget reaches it" if backup.controlled else "yours to delete when somebody is forgotten"
    return (
        f"backup {backup.path}: {backup.subjects} subjects, {backup.templates} templates, {backup.bytes} bytes, "
        f"each row checked; {where}"
    )


def restored(done: Restored) -> str:
    lines = [f"restored {done.path} from {done.backup}: {done.subjects} subjects, {done.templates} templates"]
    if done.forgotten_again:
        lines.append(f"{done.forgotten_again} subjects who were forgotten since the backup were removed again")
    if not done.log_went_on:
        lines.append("who was forgotten since the backup cannot be known here: forget them again")
    if done.replaced is not None:
        lines.append(f"what was there before: {done.replaced}")
    return "\n".join(lines)


def exported(done: Exported) -> str:
    return (
        f"exported {done.collection} to {done.path}: {done.subjects} subjects, {done.templates} templates, "
        f"{done.negatives} negative examples\nsigned by {done.signed_by}"
    )


def imported(done: Imported) -> str:
    already = [f"there already, left as it is: {subject_id}" for subject_id in done.already]
    return "\n".join(
        [
            *already,
            f"imported {done.subjects} subjects, {done.templates} templates, {done.negatives} negative examples "
            f"into {done.collection}",
        ]
    )


def resealed(done: Resealed) -> str:
    before, after = (f"key {key}" if key else "in the clear" for key in (done.before, done.after))
    if before == after:
        return f"nothing to do: {after}"
    erased = (
        "nothing of before is left in the file" if done.erased else "a reader keeps what was there before: run check"
    )
    return f"{done.embeddings} embeddings sealed anew, from {before} to {after}; {erased}"


def log_verified(state: LogState) -> str:
    return "\n".join([*(state.faults or ["In order."]), f"{state.rows} rows; head {state.head}"])


def log_archived(done: Archived) -> str:
    moved = f"{done.rows} rows moved to {done.path}; the last is {done.last}"
    return moved if done.needed_by is None else f"{moved}\nthe others stay as long as there is {done.needed_by}"


def log_shown(entries: Sequence[Entry]) -> str:
    return "\n".join(_entry(entry) for entry in entries) or "No such rows."


def _entry(entry: Entry) -> str:
    body = " ".join(f"{key}={value}" for key, value in entry.body.items())
    whom = f" subject:{entry.subject[:12]}" if entry.subject else ""
    where = f" in {entry.collection}" if entry.collection else ""
    return f"{entry.seq}  {entry.at}  {entry.actor}  {entry.action}{where}{whom}  {body}".rstrip()


def forgotten(receipt: Receipt) -> str:
    hidden = f"forgot {receipt.subject_id}: {receipt.templates} templates, in no answer since {receipt.hidden_at}"
    if receipt.erased_at is not None:
        return f"{hidden}, its bytes overwritten at {receipt.erased_at}"
    left = [f"still in: {fault}" for fault in receipt.left_in] or ["its bytes are not overwritten yet: see index check"]
    return "\n".join([hidden, *left])


def proved(proof: Proof) -> str:
    lines = [forgotten(proof.receipt), *(line for sighting in proof.sightings for line in _sighting(sighting))]
    if proof.untold:
        lines.append(f"not looked for, as nothing tells them from other bytes: {proof.untold}")
    if proof.shared:
        lines.append(f"stay with somebody else who has an equal one: {proof.shared}")
    lines += [f"made outside our control, not looked into: {path}" for path in proof.elsewhere]
    verdict = "erased: found in none of" if proof.erased else "NOT erased: read"
    return "\n".join([*lines, f"{verdict} {proof.files} files"])


def _sighting(sighting: Sighting) -> list[str]:
    if not sighting.sought:
        return []
    before, after = (
        ", ".join(f"{count} in {file}" for file, count in found.items()) or "none"
        for found in (sighting.before, sighting.after)
    )
    return [f"  {sighting.what}: {sighting.sought} looked for; before: {before}; after: {after}"]


def waiting_for(found: list[Holder] | None) -> str:
    """Empty where nobody is known to be in the way."""
    return f"Waiting up to half a minute for {in_words(found)}, which keeps a read open." if found else ""


def blocked_by(found: list[Holder] | None) -> str:
    return f"In the way: {in_words(found)}. End that, then run index check: opening the gallery erases the rest."
