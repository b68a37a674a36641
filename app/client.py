"""A typed client of the service, for programs and for `app swap`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from app.client_people import CollectionClient, photo_bytes
from app.client_wire import Wire
from app.errors import ServiceUnreachable
from app.schemas import IdentifyAnswer, ModelsAnswer
from app.schemas_audit import AuditAnswer, AuditVerdict
from app.schemas_gallery import CollectionAnswer, CollectionReceipt, CollectionsAnswer
from app.schemas_photos import DetectAnswer, EmbedAnswer
from app.verdicts import GateAnswer
from index.errors import PhotoUnreadable

API_KEY: Final = "HEIRLOOM_API_KEY"
"""The variable that programs take their key from: on a command line others could read it."""
DEFAULT_URL: Final = "http://127.0.0.1:8000"
_SECONDS: Final = 120.0  # a swap loads a model and searches the gallery with itself
_MEASURING: Final = 3600.0  # seconds
_MOST_PHOTOS: Final = 16  # in one request
_MOST_BYTES: Final = 16 * 2**20


class Client(CollectionClient):
    """Every method raises ServiceUnreachable when nobody answers, ServiceRefused when the answer is an error.

    Methods of a CollectionClient are about the default collection; `collection` gives those of another.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = _SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """key: an API key, `hl_…`; None where the service asks for none."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout, transport=transport, headers=headers)
        except httpx.InvalidURL as error:
            raise ServiceUnreachable(f"not an address ({error})", url, f"Give one like {DEFAULT_URL}.") from None
        super().__init__(Wire(self._http), "/v1")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def alive(self) -> bool:
        """Does anything answer?"""
        return self._wire.succeeds("/healthz")

    def ready(self) -> bool:
        """Does the service answer, and say that it may be asked?"""
        return self._wire.succeeds("/readyz")

    def identify(
        self,
        photo: Path | bytes,
        *,
        top_k: int = 5,
        fpir: float | None = None,
        threshold: float | None = None,
        only_good: bool = False,
    ) -> IdentifyAnswer:
        """Every face of a photo, each with up to top_k Candidates and a Decision."""
        return self._identify("/identify", photo, top_k, fpir, threshold, only_good)

    # Models.

    def models(self) -> ModelsAnswer:
        return self._wire.ask(ModelsAnswer, "GET", "/v1/models")

    def activate(self, model: str, *, force: bool = False) -> ModelsAnswer:
        """Swap to a model: a shipped name, `dlib`, or, on loopback, a path as the service sees it.

        force: whatever the gate says. A service that has probes of its own measures the model first, which takes as
        long as it takes.
        """
        asked: dict[str, Any] = {"model": model} | ({"force": True} if force else {})
        return self._wire.ask(ModelsAnswer, "POST", "/v1/models/activate", json=asked, timeout=_MEASURING)

    def roll_back(self) -> ModelsAnswer:
        return self._wire.ask(ModelsAnswer, "POST", "/v1/models/rollback")

    def load(self, model: str) -> ModelsAnswer:
        """Have a model loaded beside the one that answers."""
        return self._wire.ask(ModelsAnswer, "POST", "/v1/models/load", json={"model": model})

    def unload(self, model: str) -> ModelsAnswer:
        """Let go of a model that does not answer, by its model_id."""
        return self._wire.ask(ModelsAnswer, "POST", "/v1/models/unload", json={"model": model})

    def shadow(self, model: str, share: float) -> ModelsAnswer:
        """Compare a model with the active one on a share of live requests, from now on; share 0 ends it."""
        return self._wire.ask(ModelsAnswer, "POST", "/v1/models/shadow", json={"model": model, "share": share})

    def gate(
        self,
        model: str,
        photos: Sequence[tuple[str, Path]] = (),
        *,
        collection: str | None = None,
        floor: str = "",
        report_progress: Callable[[int], None] = lambda _: None,
    ) -> GateAnswer:
        """Measure a model against the active one, on these photos (subject id, file), or on those that the service has.

        collection: where both search; None: the one that the service was started with. The photos are sent in several
        requests. report_progress: called with the number of photos dealt with. Raises PhotoUnreadable, too.
        """
        asked, answer = {"model": model, "floor": floor} | ({"collection": collection} if collection else {}), None
        for batch, last in _batches(photos):
            files = [("photos", photo) for photo in batch]
            asked |= {"more": "false" if last else "true"}
            answer = self._wire.ask(GateAnswer, "POST", "/v1/models/gate", data=asked, files=files, timeout=_MEASURING)
            asked |= {"model": answer.new.model.model_id, "trial": answer.trial}
            report_progress(len(batch))
        return answer or self._wire.ask(GateAnswer, "POST", "/v1/models/gate", data=asked, timeout=_MEASURING)

    # Photos alone.

    def detect(self, photo: Path | bytes) -> DetectAnswer:
        """Where the faces are."""
        return self._wire.ask(DetectAnswer, "POST", "/v1/detect", files={"image": ("photo", photo_bytes(photo))})

    def embed(self, photo: Path | bytes) -> EmbedAnswer:
        """The embedding of every face; for a key with the scope `admin`."""
        return self._wire.ask(EmbedAnswer, "POST", "/v1/embed", files={"image": ("photo", photo_bytes(photo))})

    # Collections.

    def collection(self, name: str) -> CollectionClient:
        """The same for another collection. Nothing is asked yet."""
        return CollectionClient(self._wire, self._wire.path("/v1/collections", name))

    def list_collections(self) -> CollectionsAnswer:
        return self._wire.ask(CollectionsAnswer, "GET", "/v1/collections")

    def create_collection(self, name: str) -> CollectionAnswer:
        """An empty one, of the Space of the active model."""
        return self._wire.ask(CollectionAnswer, "POST", "/v1/collections", json={"name": name})

    def get_collection(self, name: str) -> CollectionAnswer:
        return self._wire.ask(CollectionAnswer, "GET", self._wire.path("/v1/collections", name))

    def delete_collection(self, name: str) -> CollectionReceipt:
        """With everybody in it, for good."""
        return self._wire.ask(CollectionReceipt, "DELETE", self._wire.path("/v1/collections", name))

    # The audit log; for a key with the scope `audit`.

    def list_audit(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        collection: str | None = None,
        action: str | None = None,
        subject_id: str | None = None,
    ) -> AuditAnswer:
        """Rows, newest first."""
        given = {"cursor": cursor, "collection": collection, "action": action, "subject_id": subject_id}
        return self._wire.ask(AuditAnswer, "GET", "/v1/audit", params={"limit": limit}, optional=given)

    def verify_audit(self, head: str | None = None) -> AuditVerdict:
        """Was the log changed? head: that of an earlier answer."""
        return self._wire.ask(AuditVerdict, "GET", "/v1/audit/verify", optional={"head": head})


def _batches(photos: Sequence[tuple[str, Path]]) -> Iterator[tuple[list[tuple[str, bytes]], bool]]:
    """Photos that fit into one request each, `SUBJECT/NAME` and bytes, in order; and whether they are the last.

    Raises PhotoUnreadable.
    """
    batch: list[tuple[str, bytes]] = []
    size = 0
    for person, path in photos:
        data = _read(path)
        if batch and (len(batch) == _MOST_PHOTOS or size + len(data) > _MOST_BYTES):
            yield batch, False
            batch, size = [], 0
        batch.append((f"{person}/{path.name}", data))
        size += len(data)
    if batch:
        yield batch, True


def _read(path: Path) -> bytes:
    """The whole file: what is too large is the service's to say."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PhotoUnreadable(reason, str(path), "Check the file and its permissions.") from None
