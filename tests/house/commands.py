"""The commands that the documentation tells its reader to type."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Every line of every `sh` block, split as a shell would; lines joined where one ends in a backslash."""
    for block in _FENCE.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def at_any_time(words: list[str]) -> list[str]:
    """A day that is written in a page becomes one that is to come, whenever the command is typed."""
    return [re.sub(r"^\d{4}(?=-\d\d-\d\d$)", str(datetime.now(UTC).year + 2), word) for word in words]
