"""What was found, as Candidates: names and negative examples are read when the answer is made."""

import sqlite3
from collections.abc import Sequence

import numpy as np

from faces.embed import Vectors
from index import subjects, templates
from index.collection import Collection
from index.contract import Candidate
from index.search import Hit, cosines
from index.subjects import NUMBER, SUBJECT_ID


def named(
    connection: sqlite3.Connection, of: Collection, probes: Vectors, found: Sequence[Sequence[Hit]]
) -> list[list[Candidate]] | None:
    """The Candidates of each probe (n, dim). None: one of their Subjects is no longer there.

    Raises GalleryCorrupt.
    """
    numbers = {hit.subject for hits in found for hit in hits}
    names = subjects.named(connection, of, numbers)
    if len(names) < len(numbers):
        return None
    examples = templates.negative_examples(connection, of, numbers)
    return [
        [
            Candidate(*names[hit.subject], hit.score, hit.template, negative)
            for hit in hits
            for negative in (_highest(examples.get(hit.subject), probe),)
        ]
        for probe, hits in zip(probes, found, strict=True)
    ]


def of_one(connection: sqlite3.Connection, of: Collection, subject_id: str, probes: Vectors) -> list[Candidate | None]:
    """One Subject as the Candidate of each probe (n, dim); None when it has no Templates. Raises SubjectUnknown."""
    row = subjects.require(connection, of, subject_id)
    number, name = row[NUMBER], row[3]
    ids, vectors = templates.vectors_of(connection, of, number)
    if not len(ids):
        return [None] * len(probes)
    examples = templates.negative_examples(connection, of, [number]).get(number)
    found: list[Candidate | None] = []
    for probe in probes:
        scores = cosines(vectors, probe)
        best = int(np.argmax(scores))  # the first of equals: the oldest
        found.append(Candidate(subject_id, name, float(scores[best]), int(ids[best]), _highest(examples, probe)))
    return found


def of_template(connection: sqlite3.Connection, of: Collection, template: int, probes: Vectors) -> list[Candidate]:
    """One Template and its Subject as the Candidate of each probe (n, dim). Raises TemplateUnknown."""
    row = subjects.require(connection, of, templates.owner(connection, of, template))
    ids, vectors = templates.vectors_of(connection, of, row[NUMBER])
    examples = templates.negative_examples(connection, of, [row[NUMBER]]).get(row[NUMBER])
    scores = cosines(probes, vectors[int(np.flatnonzero(ids == template)[0])])
    return [
        Candidate(row[SUBJECT_ID], row[3], float(score), template, _highest(examples, probe))
        for probe, score in zip(probes, scores, strict=True)
    ]


def _highest(rows: Vectors | None, probe: Vectors) -> float | None:
    """The highest cosine of a probe (dim,) with any of the rows (n, dim); None where there are none."""
    return None if rows is None else float(cosines(rows, probe).max())
