"""The audit log as the service writes to it: what changed nothing is recorded without being waited for.

What changes the gallery has its row in the same transaction, written by `index`. A search has none: its row follows
within moments, and when it cannot be written (a full disk), the search is answered all the same and the log of the
service says that the row is missing.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from threading import BoundedSemaphore
from typing import Any, Final

from app.logs import log_event
from index.gallery import By
from index.store import Store

_OUTSTANDING: Final = 4096
_SOON: Final = 1.0  # seconds
_LOG: Final = logging.getLogger(__name__)


class Trail:
    """Safe to use from several threads."""

    def __init__(self, store: Store, outstanding: int = _OUTSTANDING) -> None:
        """outstanding: rows that may be on their way; whoever brings one more waits."""
        self._store = store
        self._room = BoundedSemaphore(outstanding)

    def note(
        self, by: By, action: str, collection: str, body: Mapping[str, Any], *, subject_id: str | None = None
    ) -> None:
        """Record it, as soon as may be. body: counts and ids; no image, vector or name."""
        self._room.acquire()
        try:
            row = self._store.audit_soon(
                by.actor,
                action,
                collection=collection,
                subject_id=subject_id,
                body={**body, "request_id": by.request_id},
            )
        except BaseException:
            self._room.release()
            raise
        row.add_done_callback(lambda done: self._done(done, by, action))

    def settle(self) -> None:
        """For who reads the log: what was answered until now is in it, unless it cannot be written."""
        self._store.settle(_SOON)

    def digest_of(self, subject_id: str) -> str:
        """What the audit log calls this Subject."""
        return self._store.digest_of(subject_id)

    def _done(self, row: Future[int], by: By, action: str) -> None:
        self._room.release()
        if error := row.exception():
            sentence = f"not in the audit log: {action}: {error}"
            log_event(_LOG, logging.ERROR, sentence, request_id=by.request_id, caller=by.actor)
