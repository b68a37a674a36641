"""What the operator decides: options of `app serve`, else variables HEIRLOOM_*, else a file, else these defaults."""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SettingsInvalid
from app.trial import Floor
from faces.image import ImageLimits
from index.device import Device

PREFIX: Final = "HEIRLOOM_"
CONFIG: Final = PREFIX + "CONFIG"
_CLOSE: Final = 0.8  # how alike a variable and a setting must be to take the one for a misspelt other


def _split(value: object) -> object:
    """A variable holds a list with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _host(value: str) -> str:
    if not value or set(value) & set("/:@ *"):
        raise ValueError("a name alone, without scheme, port or wildcard")
    return value.lower()


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("https://NAME or https://NAME:PORT, without a path; a wildcard is none")
    return value.lower()


def _network(value: str) -> str:
    """Raises ValueError, with a sentence of its own, for what is no address."""
    return str(ipaddress.ip_network(value))


_List = (NoDecode, BeforeValidator(_split))
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], *_List]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], *_List]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], *_List]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    gallery: Path
    """The gallery file that is searched."""
    model: str | None = None
    """The model to start with; what a swap changed since wins, see `references.starting_model`."""
    forget_swap: bool = False
    """Start with `model` whatever was swapped to since."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0 takes a free one."""
    threads: Annotated[int | None, Field(ge=1, le=1024)] = None
    """Cores that inference may use; None means all of this process."""
    device: Device = "auto"
    """Where the gallery is searched: `cpu`, `cuda`, or `auto`, which takes GPUs where faiss-gpu finds one."""
    fpir: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The share of non-enrolled faces that may be answered with somebody; thresholds are computed for it."""
    threshold: Annotated[float | None, Field(ge=-1, le=1)] = None
    """A cosine that decides for every model instead of the calibrated thresholds; it stands for no known FPIR."""
    probes: Path | None = None
    """A folder of people, and `_strangers`, that a model is measured with before it takes over."""
    floor: Annotated[str, AfterValidator(lambda text: str(Floor.parse(text)))] = str(Floor())
    """What the gate asks of a new model: `fnir=0.05,kept=0.9`, see `trial.Floor`."""
    waiting: Annotated[int, Field(ge=0)] = 32
    """Requests that may be in the service beside one a core; the next one is answered 503."""
    patience: PositiveFloat = 10.0
    """Seconds after which a request that still waits for its turn is answered 503."""
    stuck_after: PositiveFloat = 60.0
    """Seconds that one run of a network, or one search, may take before its requests are answered 503."""
    drain: PositiveInt = 30
    """Seconds that requests in flight may take once the service was told to stop."""
    linger: NonNegativeFloat = 0.0
    """Seconds that it goes on before, while /readyz already says no: for load balancers that look there."""
    max_bytes: PositiveInt = ImageLimits().bytes
    max_pixels: PositiveInt = ImageLimits().pixels
    max_side: PositiveInt = ImageLimits().side
    upload_seconds: PositiveFloat = 20.0
    """Seconds that a body may take to arrive, beside one more for each 16 KiB of it."""
    rate: NonNegativeFloat = 100.0
    """Requests a second for each key, or each address where no key exists; 0: as many as they like."""
    burst: PositiveInt = 200
    """Of these, how many at once after a silence."""
    hosts: Hosts = ()
    """Names that the service answers to. None given: on loopback those of loopback, else any."""
    origins: Origins = ()
    """Web pages of other origins that may ask from a browser."""
    proxies: Networks = ()
    """Addresses of reverse proxies, whose word on the caller's address is taken."""
    guard: Literal["off", "flag", "strict"] = "flag"
    """What becomes of a photo that speaks against itself when it is enrolled: see `index.guard`."""
    expiry_every: PositiveFloat = 60.0
    """Seconds between two looks for Subjects whose time has come, and for thresholds that no longer hold."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """JSON lines or text; auto: text on a terminal."""

    @property
    def limits(self) -> ImageLimits:
        return ImageLimits(bytes=self.max_bytes, pixels=self.max_pixels, side=self.max_side)

    @property
    def cores(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))


def read_settings(config: Path | None = None, **given: Any) -> Settings:
    """Settings from what was given (None: not given), the environment, a TOML file and the defaults.

    config: the file; None: the one that HEIRLOOM_CONFIG names, if it names one. Raises SettingsInvalid.
    """
    variables = {name.upper() for name, value in os.environ.items() if value}
    _refuse_misspelt(variables)
    options = {name: value for name, value in given.items() if value is not None}
    file = config or (Path(os.environ[CONFIG]) if CONFIG in variables else None)
    stated = {} if file is None else _read_file(file)
    unsaid = {name: value for name, value in stated.items() if _variable(name) not in variables}
    try:
        return Settings(**unsaid | options)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0])
    if problem["type"] == "missing":
        raise SettingsInvalid("not given", name, f"Give {_option(name)}, or set {_variable(name)}.")
    where = _option(name) if name in options else f"{name} in {file}" if name in unsaid else _variable(name)
    what = problem["msg"].removeprefix("Value error, ").lower()
    raise SettingsInvalid(f"{where}: {what}", problem["input"], f"Correct {where}.")


def _read_file(path: Path) -> Mapping[str, Any]:
    """Raises SettingsInvalid for what is no file of settings, and for a name that is none of theirs."""
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsInvalid(f"cannot be read ({error.strerror})", str(path), "Give a file of settings.") from None
    except ValueError as error:  # of TOML, or of UTF-8
        remedy = "Write a line NAME = VALUE for each setting, texts in quotes."
        raise SettingsInvalid(f"no TOML ({error})", str(path), remedy) from None
    for name in stated:
        if name not in Settings.model_fields:
            raise SettingsInvalid(f"no such setting in {path}", name, _instead(name, list(Settings.model_fields)))
    return stated


def _refuse_misspelt(variables: Iterable[str]) -> None:
    """Raises SettingsInvalid for a near miss alone: other programs' variables may begin with HEIRLOOM_ too.

    (Kubernetes writes HEIRLOOM_SERVICE_HOST for a service of that name, our own client reads HEIRLOOM_API_KEY.)
    """
    names = [name.upper() for name in Settings.model_fields]
    for variable in sorted(variables):
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and name not in names and difflib.get_close_matches(name, names, 1, _CLOSE):
            raise SettingsInvalid("no such setting", variable, _instead(variable, list(map(_variable, names))))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _instead(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]}?" if close else f"There are {', '.join(sorted(known))}."
