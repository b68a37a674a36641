"""What the tests of taking backups and of restoring them share, beside the fixture `taken`."""

from datetime import UTC, datetime
from pathlib import Path

from index.gallery import open_gallery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 12, tzinfo=UTC)


def people(path: Path) -> list[str]:
    with open_gallery(path) as gallery:
        assert gallery.check() == []
        return [subject.subject_id for subject in gallery.subjects(10_000)]
