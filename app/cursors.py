"""Where a list goes on: a text that its readers cannot make, and that is for the list it came with alone."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping

from app.errors import CursorInvalid

Digest = Callable[[str], str]
"""A keyed digest, so that nobody else can write a cursor: `Store.digest_of`."""


def write_cursor(after: str | int, of: Mapping[str, object], digest: Digest) -> str:
    """after: the last item that was listed. of: what list it is, filters and all."""
    text = json.dumps(after, ensure_ascii=False)
    return base64.urlsafe_b64encode(f"{_mark(text, of, digest)}{text}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, of: Mapping[str, object], digest: Digest) -> str | int:
    """The item after which the list goes on. Raises CursorInvalid for the cursor of another list, or what is none."""
    try:
        plain = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise _invalid(cursor) from None
    length = len(_mark("", of, digest))
    mark, text = plain[:length], plain[length:]
    if not hmac.compare_digest(mark.encode(), _mark(text, of, digest).encode()):
        raise _invalid(cursor)
    after: str | int = json.loads(text)
    return after


def _mark(text: str, of: Mapping[str, object], digest: Digest) -> str:
    return digest(f"cursor\n{json.dumps(of, sort_keys=True)}\n{text}")


def _invalid(cursor: str) -> CursorInvalid:
    return CursorInvalid(
        "no cursor of this list", cursor[:64], "Give the next_cursor of the page before, with the same filters."
    )
