"""What the operator decides: options of `app serve`, else variables HEIRLOOM_*, else these defaults."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingsInvalid
from faces.image import ImageLimits


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="HEIRLOOM_", frozen=True)

    gallery: Path
    """The gallery file that is searched."""
    model: str | None = None
    """The model to start with; what a swap changed since wins, see `references.starting_model`."""
    forget_swap: bool = False
    """Start with `model` whatever was swapped to since."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0 takes a free one."""
    threads: PositiveInt | None = None
    """Cores that inference may use; None means all of this process."""
    fpir: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The share of non-enrolled faces that may be answered with somebody; thresholds are computed for it."""
    threshold: Annotated[float | None, Field(ge=-1, le=1)] = None
    """A cosine that decides for every model instead of the calibrated thresholds; it stands for no known FPIR."""
    waiting: Annotated[int, Field(ge=0)] = 32
    """Requests that may be in the service beside one a core; the next one is answered 503."""
    patience: PositiveFloat = 10.0
    """Seconds after which a request that still waits for its turn is answered 503."""
    stuck_after: PositiveFloat = 60.0
    """Seconds that one run of a network, or one search, may take before its requests are answered 503."""
    drain: PositiveInt = 30
    """Seconds that requests in flight may take once the service was told to stop."""
    max_bytes: PositiveInt = ImageLimits().bytes
    max_pixels: PositiveInt = ImageLimits().pixels
    max_side: PositiveInt = ImageLimits().side

    @property
    def limits(self) -> ImageLimits:
        return ImageLimits(bytes=self.max_bytes, pixels=self.max_pixels, side=self.max_side)

    @property
    def cores(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))


def read_settings(**given: Any) -> Settings:
    """Settings from what was given (None: not given), the environment and the defaults. Raises SettingsInvalid."""
    options = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**options)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0])
    option, variable = "--" + name.replace("_", "-"), "HEIRLOOM_" + name.upper()
    if problem["type"] == "missing":
        raise SettingsInvalid("not given", name, f"Give {option}, or set {variable}.")
    where = option if name in options else variable
    raise SettingsInvalid(f"{where}: {problem['msg'].lower()}", problem["input"], f"Correct {where}.")
