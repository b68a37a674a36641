"""What a run came to, kept in its folder; a run that has an outcome is not run again."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from faces.files import write_whole
from faces.space import Grid
from kd.config import RunConfig

FILE: Final = "outcome.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    config: dict[str, Any]
    """Of the run, as RunConfig.to_dict gives it."""
    grids: dict[str, Grid]
    """The 2×2 of each search, by its key; none where the run failed."""
    views: int
    """That the student was shown."""
    seconds: float
    """For 1,000 views, without waiting for data and teacher."""
    failed: str | None = None
    """Why there are no figures."""

    def stands_for(self, config: RunConfig) -> bool:
        """Whether a run with these settings need not be run."""
        return self.failed is None and self.config == _JSON.validate_json(_JSON.dump_json(config.to_dict()))


_JSON: Final = TypeAdapter(dict[str, Any])
_OUTCOME: Final = TypeAdapter(Outcome)


def read_outcome(run: Path) -> Outcome | None:
    """None where the run is not done, and where the file is none of ours."""
    try:
        return _OUTCOME.validate_json((run / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_outcome(run: Path, outcome: Outcome) -> None:
    run.mkdir(parents=True, exist_ok=True)
    write_whole(run / FILE, _OUTCOME.dump_json(outcome, indent=2))


def seconds_a_thousand(run: Path) -> float:
    """Of training on 1,000 views, without what waited for data and teacher: the median over the run's looks.

    Read from the run's own board, so that a run in several parts counts as one.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    rates, waits = board.Scalars("images a second"), board.Scalars("share of time waiting for data")
    return float(median(1000 * (1 - wait.value) / rate.value for rate, wait in zip(rates, waits, strict=True)))
