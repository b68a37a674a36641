"""The API keys of an open store, for programs that have to tell their callers apart."""

import sqlite3
from datetime import datetime
from typing import Final

from index import access, audit
from index.access import AccessKey, Grant
from index.store import Store


class Keyring:
    """Keys as they are at each call: another process's new key counts, and its revoked one does not.

    Making and revoking are in the audit log, by the key's id: a label may be somebody's name.
    """

    def __init__(self, store: Store) -> None:
        self._store: Final = store

    def find(self, token: str, now: datetime) -> AccessKey:
        """The key with this text, in force now. Raises AccessRefused."""
        return self._store.read(lambda connection: access.find(connection, token, now))

    def any(self) -> bool:
        """Was there ever a key? One that has expired or was revoked counts."""
        return bool(self.keys())

    def keys(self) -> list[AccessKey]:
        """All there ever were, oldest first."""
        return self._store.read(access.keys)

    def create(self, grant: Grant, now: datetime, *, actor: str = "cli") -> tuple[AccessKey, str]:
        """The new key and its text, which is stored nowhere. Durable on return. Raises AccessKeyInvalid."""

        def make(connection: sqlite3.Connection) -> tuple[AccessKey, str]:
            key, token = access.create(connection, grant, now)
            _tell(connection, "create_key", key, now, actor)
            return key, token

        return self._store.write(make)

    def revoke(self, key_id: str, now: datetime, *, actor: str = "cli") -> AccessKey:
        """Durable on return. Raises AccessKeyUnknown."""

        def refuse(connection: sqlite3.Connection) -> AccessKey:
            key = access.revoke(connection, key_id, now)
            _tell(connection, "revoke_key", key, now, actor)
            return key

        return self._store.write(refuse)


def _tell(connection: sqlite3.Connection, action: str, key: AccessKey, now: datetime, actor: str) -> None:
    body = {"key_id": key.key_id, "scopes": key.scopes, "collections": key.collections, "expires": key.expires}
    audit.append(
        connection, salt=b"", actor=actor, action=action, collection="", subject_id=None, body=body, at=now.isoformat()
    )
