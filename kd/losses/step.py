"""What a loss may look at (Step), what it is built from (Setting), and what it is (Loss)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from kd.errors import UnknownName
from kd.head import FrozenHead
from kd.margins import Margin


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Whom a view shows, for the losses that can use a view of two people."""

    first: Tensor
    """(n,) int64 labels; -1 where nobody knows."""
    second: Tensor
    """(n,) int64, the person blended in; -1 where nobody knows, or nobody is."""
    share: Tensor
    """(n,) float32: of the first person in the view; 1 where nobody is blended in."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One batch: this rank's rows of it."""

    raw: Tensor
    """(n, dim), as the student gave them."""
    vectors: Tensor
    """(n, dim), unit rows of `raw`."""
    labels: Tensor
    """(n,) int64; -1 where there is none: of an unlabelled face, and of two people blended."""
    blend: Blend
    targets: Tensor | None
    """(n, dim) unit rows: the teacher's, of the same views. A row of NaN has no teacher."""
    halves: tuple[Tensor, Tensor] | None
    """Base and assistant of a residual student, (n, dim) each, whose sum is `raw`."""
    ramp: float
    """The share of the margin that applies: from 0 to 1 over the first third of the run."""

    @property
    def taught(self) -> Tensor:
        """`targets`, of a method that asks for them."""
        if self.targets is None:
            raise TypeError("a method that asks the teacher was given a batch without its answers")
        return self.targets

    @property
    def answered(self) -> Tensor:
        """(n,) bool: the rows of `taught` that have a teacher."""
        return ~self.taught.isnan().any(dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What losses are built from, once."""

    inherited: FrozenHead | None
    """None where a teacher is trained: there is nobody to inherit from."""
    dim: int
    photos: Tensor
    """(classes,) int64: how many photos there are of each person."""
    scale: float
    """What cosines are multiplied by before a softmax."""
    new_margin: Callable[[], Margin]
    """A margin with a state of its own."""
    subsets: tuple[range, ...] = ()
    """Of the class-subset teachers: the numbers of photos of the people that each has learnt."""

    @property
    def classes(self) -> int:
        return len(self.photos)

    @property
    def head(self) -> FrozenHead:
        if self.inherited is None:
            raise UnknownName("a method that needs a teacher, in a run without one", "--method", "Give --teacher.")
        return self.inherited


class Loss(nn.Module):
    """One method. What it remembers between steps is a buffer, what it trains a parameter: checkpoints keep both.

    Built as `Loss(setting, **knobs)`; every knob has a default, which tells its type.
    """

    asks_teacher: ClassVar[bool] = True
    """The teacher embeds every view."""
    anchored: ClassVar[bool] = True
    """False: no rotation of the space changes it, so alone it leads nobody into the teacher's space."""
    sharp_teacher: ClassVar[bool] = False
    """The teacher sees a view of low resolution as it was before."""

    def forward(self, step: Step) -> Tensor:
        """Batch -> (), the loss, unweighted."""
        raise NotImplementedError
