"""What stands between this machine and a service that answers: checks, each with what to do about it.

Nothing is changed, and a service that is running goes on undisturbed.
"""

import ipaddress
import math
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from app import machine
from app.machine import Disk, Processor
from app.settings import PREFIX, Settings, read_settings
from faces.detect import open_detector
from faces.errors import CacheUnavailable, FacesError
from faces.models import CACHE_VARIABLE, cache_folder, find_model, open_embedder
from faces.runtime import runtime_facts
from index.examine import LATEST, SearchFacts, StoreFacts, examine, format_of, search_facts

Level = Literal["ok", "warning", "error"]

_AHEAD: Final = timedelta(minutes=5)  # that two clocks may differ
_ROOM: Final = 64 * 2**20  # bytes without which no service should start: log lines, the write-ahead log
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    said: str
    remedy: str = ""
    """What to do; empty where nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What `app doctor` was told, and where and when it looks."""

    config: Path | None
    gallery: Path | None
    model: str | None
    environment: Mapping[str, str]
    now: datetime


def examined(patient: Patient) -> Iterator[Finding]:
    """Every check, the quick ones first. A check that cannot be made without another that failed is left out."""
    given = {"gallery": patient.gallery, "model": patient.model}
    settings: Settings | None = None
    try:
        settings = read_settings(patient.config, **given)
        yield Finding("settings", "ok", "every setting can be used")
    except FacesError as error:
        yield _trouble("settings", error)
    processor, threads = machine.processor(), settings.threads if settings else None
    yield of_processor(processor, threads)
    yield of_search(search_facts(), processor)
    yield _runtime()
    yield _cache()
    yield _detector()
    gallery = settings.gallery if settings else patient.gallery
    facts = None
    if gallery is not None:
        facts = yield from _store(gallery, patient)
    if facts is not None and settings is not None:
        yield of_keys(facts.keys, settings, gallery)
    reference = (settings.model if settings else patient.model) or (facts.active_model if facts else None)
    if reference:
        yield _model(reference, facts.space_id if facts else None, threads)
    elif settings is not None and facts is not None:
        said = "none was given, and the gallery was never served"
        yield Finding("model", "error", said, "Give one, for example --model dlib.")


def of_processor(found: Processor, threads: int | None) -> Finding:
    """threads: the setting; None: as many as cores."""
    wanted = threads or found.cores
    said = f"{found.name}, {found.cores} cores, {' '.join(found.features) or 'no vector instructions that matter'}"
    if found.limit is not None and wanted > math.ceil(found.limit):
        fit = max(1, math.floor(found.limit))
        return Finding(
            "processor",
            "warning",
            f"{said}; {wanted} threads share the time of {found.limit:g} cores, which the control group allows",
            f"Set {PREFIX}THREADS={fit}: threads that are stopped halfway make every request wait.",
        )
    if not {"avx2", "asimd"} & set(found.features):
        return Finding("processor", "warning", said, "Expect inference and search to be several times slower.")
    return Finding("processor", "ok", said)


def of_search(found: SearchFacts, processor: Processor) -> Finding:
    said = (
        f"{found.threads} threads scan in {found.products}; FAISS {found.version} with {found.level}, "
        f"of {' '.join(found.available)}"
    )
    if found.products != "int8":
        return Finding("search", "warning", said, "Install numkong: searches are several times faster with it.")
    if found.level == "NONE" and processor.features:
        return Finding("search", "warning", said, "Unset FAISS_SIMD_LEVEL, or install faiss-cpu from PyPI again.")
    return Finding("search", "ok", said)


def of_disk(found: Disk, folder: Path, size: int) -> Finding:
    """size: bytes of the store. Erasing somebody writes the file anew beside it."""
    said = f"{folder}: {found.kind}, {found.free // _MIB:,} MiB free"
    if found.remote:
        return Finding(
            "disk", "error", said, "Move the gallery to a local disk: SQLite's locks do not cross a network."
        )
    if found.free < _ROOM:
        return Finding("disk", "error", said, f"Make room: at least {_ROOM // _MIB} MiB, or no write succeeds.")
    if found.free < 2 * size + _ROOM:
        remedy = f"Make room: erasing rewrites the file, which takes {2 * size // _MIB + 1:,} MiB more."
        return Finding("disk", "warning", said, remedy)
    if found.volatile:
        return Finding("disk", "warning", said, "What is written there is gone when the machine stops: use a disk.")
    return Finding("disk", "ok", said)


def of_clock(now: datetime, newest: str | None) -> Finding:
    """newest: when the audit log was last written."""
    said = f"{now.isoformat(timespec='seconds')}"
    if newest is not None and datetime.fromisoformat(newest) > now + _AHEAD:
        remedy = "Set the clock (NTP): keys would not expire in time, and the log would be out of order."
        return Finding("clock", "error", f"{said}, but the audit log was written at {newest}", remedy)
    return Finding("clock", "ok", said)


def of_keys(count: int, settings: Settings, gallery: Path | None) -> Finding:
    """count: of API keys, ever."""
    if count:
        return Finding("keys", "ok", f"callers are asked for one; {_counted(count, 'key')} so far")
    remedy = f"Create one: app keys create LABEL --scope identify --gallery {gallery}."
    if settings.proxies or not _loopback(settings.host):
        return Finding("keys", "error", f"others can reach {settings.host}, and there is no API key", remedy)
    return Finding("keys", "warning", "no API key: every program on this machine may do anything", remedy)


def _store(path: Path, patient: Patient) -> Generator[Finding, None, StoreFacts | None]:
    """Findings; returns the StoreFacts, or None where there are none to be had."""
    try:
        form = format_of(path)
        yield of_disk(machine.disk(path.parent), path.absolute().parent, path.stat().st_size)
        if form < LATEST:
            remedy = "Back it up first; the next program that opens it does the rest."
            yield Finding("store", "warning", f"{path}: format {form}, to be brought to format {LATEST}", remedy)
            return None
        facts = examine(path, patient.environment)
    except FacesError as error:
        yield _trouble("store", error)
        return None
    yield of_store(path, facts)
    yield of_clock(patient.now, facts.newest)
    return facts


def of_store(path: Path, facts: StoreFacts) -> Finding:
    said = (
        f"{path}: {_counted(facts.collections, 'collection')}, {_counted(facts.subjects, 'subject')},"
        f" {_counted(facts.templates, 'template')}, embeddings {'sealed' if facts.sealed else 'not sealed'}"
    )
    if facts.scrub_pending:
        remedy = "Open the gallery (index stats): that overwrites them."
        return Finding("store", "warning", f"{said}; bytes of somebody who was forgotten are left", remedy)
    return Finding("store", "ok", said)


def _model(reference: str, space_id: str | None, threads: int | None) -> Finding:
    """space_id: of the gallery; None: not known."""
    try:
        model = find_model(reference)
        open_embedder(model, threads=threads)
    except FacesError as error:
        return _trouble("model", error)
    card = model.card
    said = f"{card.name} ({card.role}, {card.model_id}): file, card and network agree"
    if space_id not in (None, card.space_id):
        remedy = "Choose the gallery's teacher or a student of it, or build the gallery anew."
        return Finding("model", "error", f"{card.name} is of Space {card.space_id}, the gallery of {space_id}", remedy)
    return Finding("model", "ok", said)


def _detector() -> Finding:
    try:
        open_detector(threads=1)
    except FacesError as error:
        return _trouble("detector", error)
    return Finding("detector", "ok", "its three networks open")


def _runtime() -> Finding:
    try:
        found = runtime_facts()
    except FacesError as error:
        return _trouble("runtime", error)
    return Finding("runtime", "ok", f"{found.name} {found.version} on {found.processor}")


def _cache() -> Finding:
    needed = "None is needed if the model below opens."
    try:
        folder = cache_folder()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except CacheUnavailable as error:
        return Finding("cache", "warning", error.what, f"{error.remedy} {needed}")
    except OSError as error:
        said = f"{folder} cannot be written ({(error.strerror or str(error)).lower()})"
        return Finding("cache", "warning", said, f"Set {CACHE_VARIABLE} to a folder that can. {needed}")
    return Finding("cache", "ok", f"{folder} can be written")


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trouble(check: str, error: FacesError) -> Finding:
    return Finding(check, "error", " ".join(f"{error.what}: {error.value!r}".split()), error.remedy)
