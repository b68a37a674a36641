"""The comparison itself: one run after the other, each in a folder of its own, and a report after each."""

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from faces.errors import FacesError
from kd.checkpoint import student_weights, trained_steps
from kd.compare.exam import Exam, Examiner
from kd.compare.outcome import Outcome, read_outcome, seconds_a_thousand, write_outcome
from kd.compare.plan import SEEDS_FOR_A_SPREAD, Plan, Rival, checked
from kd.compare.report import write_plot, write_report
from kd.compare.standings import Row, Standings
from kd.config import RunConfig
from kd.distil import Lesson, Tell, distil, prepared, steps_an_epoch
from kd.errors import CheckpointMismatch, CheckpointUnwritable, PlanRefused
from kd.evaluate.protocol import Protocol
from kd.students import build_student, student_recipe

Weights = Mapping[str, torch.Tensor]

_ENDS: Final = (CheckpointMismatch, CheckpointUnwritable)
"""What is wrong with the folder, not with a method: going on would lose what is there."""


def compare(plan: Plan, protocol: Protocol, folder: Path, *, data: Path | None = None, tell: Tell) -> Standings:
    """Train each rival with each seed, judge it, and write comparison.md, .json and .png into `folder`:
    the tables after every run, the plot at the end.

    Stopped at any moment, the same call goes on: a run with an outcome is not repeated, one that was under way goes on
    from its checkpoint. Two processes may work on one folder; each run is done by one of them. A run that fails is a
    row that says why, and is tried again by the next call.
    data: where prepared faces and the teacher's answers are kept; in the folder unless given. init: weights that every
    student begins from instead of chance.
    Raises what `kd.compare.plan.checked` does, before any photo is read; CheckpointMismatch where a label's folder
    holds another run; CheckpointUnwritable where nothing more can be kept.
    """
    checked(plan)
    if not protocol.searches:
        raise PlanRefused(
            "nobody is searched for in the protocol", protocol.name, "Give one with a gallery and probes."
        )
    if len(plan.seeds) < SEEDS_FOR_A_SPREAD:
        tell(f"fewer than {SEEDS_FOR_A_SPREAD} seeds: how much of a difference is chance cannot be told")
    hall, runs, pace = _open(plan, protocol, folder, data or folder / "data", tell), plan.runs(), _Pace()
    for number, (rival, seed) in enumerate(runs):
        with _held(hall.place(rival, seed) / "lock", wait=False) as mine:
            if mine and not hall.is_done(rival, seed):
                tell(f"run {number + 1} of {len(runs)}: {rival.label}, seed {seed}{pace.left(len(runs) - number)}")
                with pace.of_a_run():
                    hall.run(rival, seed)
                hall.report()
            elif not mine:
                tell(f"run {number + 1} of {len(runs)}: {rival.label}, seed {seed}, is another process's")
    standings = hall.report()
    write_plot(standings, folder)
    return standings


@dataclass(frozen=True, slots=True, eq=False)
class _Hall:
    """What all runs of a comparison share."""

    plan: Plan
    folder: Path
    lesson: Lesson
    examiner: Examiner
    tell: Tell

    def place(self, rival: Rival, seed: int) -> Path:
        return self.folder / "runs" / rival.folder / str(seed)

    def config(self, rival: Rival, seed: int) -> RunConfig:
        """With as many epochs as make the budget of the plan: by some samplers an epoch shows fewer photos."""
        base, config = self.plan.base, self.plan.config(rival, seed)
        if config.viewing.sampler == base.viewing.sampler:
            return config
        steps = base.optimisation.epochs * steps_an_epoch(base, self.lesson)
        epochs = max(1, round(steps / steps_an_epoch(config, self.lesson)))
        return replace(config, optimisation=replace(config.optimisation, epochs=epochs))

    def is_done(self, rival: Rival, seed: int) -> bool:
        outcome = read_outcome(self.place(rival, seed))
        return outcome is not None and outcome.stands_for(self.config(rival, seed))

    def run(self, rival: Rival, seed: int) -> None:
        """Train, judge, and keep the outcome; that of a run which fails is why."""
        place, config = self.place(rival, seed), self.config(rival, seed)
        try:
            distil(config, place, tell=self.tell, data=self.lesson.folder)
            outcome = self._judged(config, place)
        except _ENDS:
            raise
        except FacesError as error:
            self.tell(f"{rival.label}, seed {seed}, failed: {error}")
            outcome = Outcome(config.to_dict(), {}, views=0, seconds=0.0, failed=f"{error.what}: {error.value}")
        write_outcome(place, outcome)

    def exam(self, config: RunConfig) -> Exam:
        return self.examiner.exam(student_recipe(config.student, self.examiner.teacher.recipe))

    def _judged(self, config: RunConfig, place: Path) -> Outcome:
        student = build_student(config.student, self.examiner.teacher.space.dim)
        student.load_state_dict(student_weights(place))
        views = trained_steps(place) * config.optimisation.batch
        return Outcome(config.to_dict(), self.exam(config).grade(student), views, seconds_a_thousand(place))

    def report(self) -> Standings:
        """Write what is known so far, by whichever process."""
        rows = []
        for rival in self.plan.rivals:
            found = {seed: read_outcome(self.place(rival, seed)) for seed in self.plan.seeds}
            rows.append(Row(rival, {seed: outcome for seed, outcome in found.items() if outcome is not None}))
        standings = Standings(tuple(rows))
        write_report(self.plan, standings, self.folder, teacher_seconds=self.exam(self.plan.base).seconds)
        return standings


def _open(plan: Plan, protocol: Protocol, folder: Path, data: Path, tell: Tell) -> _Hall:
    """Prepare what all runs share; of several processes one does, and the others wait for it."""
    with _held(data.with_name(f"{data.name}.lock"), wait=True):
        lesson = prepared(plan.base, data)
        if lesson.teacher is None:
            raise PlanRefused("nobody to learn from", "teacher", "Give the teacher that all methods are to learn from.")
        hall = _Hall(plan, folder, lesson, Examiner(protocol, lesson.teacher, folder / "exam"), tell)
        hall.exam(plan.base)
    return hall


@contextmanager
def _held(file: Path, *, wait: bool) -> Iterator[bool]:
    """Whether this process alone holds the file for now. The system lets go of it however the process ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


class _Pace:
    """How long this process takes for a run."""

    def __init__(self) -> None:
        self._runs, self._seconds = 0, 0.0

    @contextmanager
    def of_a_run(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._runs, self._seconds = self._runs + 1, self._seconds + time.perf_counter() - start

    def left(self, runs: int) -> str:
        """`, 3.2 h left at this pace`; nothing before the first run is done."""
        return f", {runs * self._seconds / self._runs / 3600:.1f} h left at this pace" if self._runs else ""
