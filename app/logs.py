"""The log of the service: a line for each event, as JSON for programs or as text for people, on stderr.

A line holds ids, addresses of the API, numbers and sentences of ours; never an image, a vector, a name or a secret.
So of an error that nobody foresaw it tells the kinds and the places alone: the message of a foreign exception may
quote what it stumbled over.
"""

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from faces.errors import FacesError

Format = Literal["auto", "text", "json"]

_FIELDS: Final = "fields"  # of a record: what an event is told with, beside its sentence


def log_event(logger: logging.Logger, level: int, sentence: str, **fields: str | float | None) -> None:
    """Log a sentence with named facts. Neither may hold what the module's docstring excludes."""
    logger.log(level, "%s", sentence, extra={_FIELDS: fields})


def log_failure(logger: logging.Logger, sentence: str, **fields: str | float | None) -> None:
    """Log the exception that is being handled, with where it came from."""
    logger.error("%s", sentence, exc_info=True, extra={_FIELDS: fields})


def set_up_logs(form: Format, stream: TextIO) -> None:
    """Let every logger of the process write to this stream. auto: text on a terminal, else JSON."""
    in_words = stream.isatty() if form == "auto" else form == "text"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines() if in_words else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("httpx").setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = {"at": _at(record), "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        failure = {"failure": failure} if (failure := list(_failure(record))) else {}
        return json.dumps(told | _fields(record) | failure, default=str)


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{name}={value}" for name, value in _fields(record).items()]
        line = " ".join([_at(record), record.levelname, f"{record.name}:", record.getMessage(), *facts])
        return "\n  ".join([" ".join(line.splitlines()), *_failure(record)])


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in getattr(record, _FIELDS, {}).items() if value is not None}


def _failure(record: logging.LogRecord) -> Iterator[str]:
    """Kinds and places of the record's exception and of those behind it, the first of all first."""
    error = record.exc_info[1] if record.exc_info else None
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for each in reversed(chain):
        yield _described(each)
        yield from (
            f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(each.__traceback__)
        )


def _described(error: BaseException) -> str:
    kind = type(error).__qualname__
    if isinstance(error, FacesError):
        return f"{kind}: {error}"
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) and error.strerror else kind
