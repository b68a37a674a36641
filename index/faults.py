"""What is wrong with a store, found by reading all of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from index import audit
from index.connection import connect, integrity_check, translated, unchanging
from index.merges import MERGE, merge_fault
from index.rows import NEGATIVE, SUBJECT, TEMPLATE, negative_fault, subject_fault, template_fault
from index.settings import THRESHOLD, threshold_fault

_CHECKED: Final = (
    (f"SELECT {SUBJECT} FROM subjects ORDER BY number", subject_fault),  # noqa: S608 - names of ours
    (f"SELECT {TEMPLATE} FROM templates ORDER BY id", template_fault),  # noqa: S608
    (f"SELECT {NEGATIVE} FROM negatives ORDER BY id", negative_fault),  # noqa: S608
    (f"SELECT {THRESHOLD} FROM thresholds", threshold_fault),  # noqa: S608
    (f"SELECT {MERGE} FROM merges WHERE undone IS NULL", merge_fault),  # noqa: S608
)


def of_store(path: Path) -> list[str]:
    """As sentences, read anew from disk; empty when nothing is wrong."""
    with closing(connect(path)) as connection, translated(path):
        return _faults(connection)


def of_copy(path: Path) -> list[str]:
    """The same of a file that is left as it is, to the byte."""
    with closing(unchanging(path)) as connection, translated(path):
        return _faults(connection)


def _faults(connection: sqlite3.Connection) -> list[str]:
    if found := integrity_check(connection):
        return [f"SQLite: {problem}" for problem in found]
    return [*_row_faults(connection), *_count_faults(connection), *_audit_faults(connection)]


def _row_faults(connection: sqlite3.Connection) -> Iterator[str]:
    for statement, fault_of in _CHECKED:
        for row in connection.execute(statement):
            if fault := fault_of(row):
                yield fault


def _count_faults(connection: sqlite3.Connection) -> Iterator[str]:
    for name, counted, there in connection.execute(
        "SELECT name, subjects, (SELECT count(*) FROM subjects WHERE collection = c.number) FROM collections AS c"
    ):
        if counted != there:
            yield f"{counted} Subjects were counted in collection {name!r}, where there are {there}"
    for model, counted in connection.execute(
        "SELECT model_id, templates FROM (SELECT collection, model_id, templates FROM tallies EXCEPT"
        " SELECT collection, model_id, count(*) FROM templates AS t JOIN subjects ON number = subject"
        " GROUP BY collection, t.model_id)"
    ):
        yield f"{counted} Templates by model {model} were counted, and there are not so many"


def _audit_faults(connection: sqlite3.Connection) -> Iterator[str]:
    return (f"audit log: {fault}" for fault in audit.verify(connection))
