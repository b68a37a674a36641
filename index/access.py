"""API keys: who may do what, with which collections, until when.

A key reads `hl_<key_id>_<secret>`. It is shown once; what is stored is the SHA-256 of its secret part, which has 256
random bits: nothing can be guessed, so nothing has to be slow. What the key grants is part of what is digested: a row
that was changed, by hand or by a fault of the disk, opens nothing.
"""

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from index.errors import AccessKeyInvalid, AccessKeyUnknown, AccessRefused

SCOPES: Final = ("identify", "enrol", "admin", "audit")

_TOKEN: Final = re.compile(r"hl_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_NOBODY: Final = bytes(32)  # compared with where there is no such key: that takes as long
_LONGEST_LABEL: Final = 100  # characters
_COLUMNS: Final = "key_id, label, scopes, collections, created, expires, revoked"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """All of a key but its secret. Times are ISO 8601, UTC; None: never, or not yet."""

    key_id: str
    label: str
    scopes: tuple[str, ...]
    collections: tuple[str, ...]
    """Empty: all."""
    created: str
    expires: str | None
    revoked: str | None

    def allows(self, scope: str, collection: str | None = None) -> bool:
        """Each scope stands for itself alone. collection None: what belongs to no collection, so to a key for all."""
        return scope in self.scopes and (not self.collections or collection in self.collections)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new key is to be. expires: with its time zone; None: never."""

    label: str
    scopes: Sequence[str]
    collections: Sequence[str] = ()
    expires: datetime | None = None


def create(connection: sqlite3.Connection, grant: Grant, now: datetime) -> tuple[AccessKey, str]:
    """The new key, and its text, which nobody can find out again. Part of the caller's transaction.

    Raises AccessKeyInvalid.
    """
    _require_sound(grant, now)
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    expires = None if grant.expires is None else grant.expires.isoformat()
    key = AccessKey(
        key_id,
        grant.label,
        tuple(scope for scope in SCOPES if scope in grant.scopes),
        tuple(sorted(set(grant.collections))),
        now.isoformat(),
        expires,
        None,
    )
    fields = (key_id, key.label, json.dumps(key.scopes), json.dumps(key.collections), key.created, expires)
    connection.execute(
        "INSERT INTO access_keys (key_id, label, scopes, collections, created, expires, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*fields, _digest(secret, fields)),
    )
    return key, f"hl_{key_id}_{secret}"


def find(connection: sqlite3.Connection, token: str, now: datetime) -> AccessKey:
    """The key with this text, in force now. Raises AccessRefused, with a reason for those alone who know the secret."""
    match = _TOKEN.fullmatch(token)
    key_id, secret = match.groups() if match else ("", "")
    row = connection.execute(f"SELECT digest, {_COLUMNS} FROM access_keys WHERE key_id = ?", (key_id,)).fetchone()  # noqa: S608
    stored, fields = (_NOBODY, ()) if row is None else (row[0], row[1:-1])
    known = hmac.compare_digest(_digest(secret, fields), stored)
    if match is None or row is None or not known:
        raise AccessRefused("no such API key", key_id, "Check it for missing characters, or ask for a new one.")
    key = _key(row[1:])
    if key.revoked is not None:
        raise AccessRefused(f"an API key that was revoked at {key.revoked}", key_id, "Ask for a new one.")
    if key.expires is not None and datetime.fromisoformat(key.expires) <= now:
        raise AccessRefused(f"an API key that expired at {key.expires}", key_id, "Ask for a new one.")
    return key


def keys(connection: sqlite3.Connection) -> list[AccessKey]:
    """All there ever were, oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM access_keys ORDER BY created, key_id")  # noqa: S608
    return [_key(row) for row in rows]


def revoke(connection: sqlite3.Connection, key_id: str, now: datetime) -> AccessKey:
    """The key, which is refused from now on; one that was revoked before stays as it is. Raises AccessKeyUnknown."""
    connection.execute(
        "UPDATE access_keys SET revoked = ? WHERE key_id = ? AND revoked IS NULL", (now.isoformat(), key_id)
    )
    row = connection.execute(f"SELECT {_COLUMNS} FROM access_keys WHERE key_id = ?", (key_id,)).fetchone()  # noqa: S608
    if row is None:
        raise AccessKeyUnknown("no API key with id", key_id, "See `app keys list`: the id is between the underscores.")
    return _key(row)


def _key(row: Any) -> AccessKey:
    key_id, label, scopes, collections, created, expires, revoked = row
    try:
        granted, places = tuple(json.loads(scopes)), tuple(json.loads(collections))
    except ValueError:
        granted = places = ()  # damaged: it opens nothing
    return AccessKey(key_id, label, granted, places, created, expires, revoked)


def _digest(secret: str, fields: Sequence[str | None]) -> bytes:
    """fields: those of _COLUMNS, but whether it was revoked."""
    return hashlib.sha256(json.dumps([secret, *fields]).encode()).digest()


def _require_sound(grant: Grant, now: datetime) -> None:
    if not 0 < len(grant.label) <= _LONGEST_LABEL or not grant.label.isprintable():
        raise AccessKeyInvalid(
            "not a label for an API key", grant.label, f"Give 1 to {_LONGEST_LABEL} characters on one line."
        )
    if not grant.scopes or not set(grant.scopes) <= set(SCOPES):
        raise AccessKeyInvalid("not the scopes of an API key", ", ".join(grant.scopes), f"Choose: {', '.join(SCOPES)}.")
    if grant.expires is not None and (grant.expires.tzinfo is None or grant.expires <= now):
        raise AccessKeyInvalid(
            "not a time for an API key to expire", grant.expires.isoformat(), "Give one to come, with its time zone."
        )
