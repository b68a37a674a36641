"""Class-subset teachers, each of people with about as many photos, weighted into one student: for the long tail."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, cast

import torch
from torch import Tensor, nn

from kd import distributed
from kd.errors import DataUnusable, UnknownName
from kd.head import FrozenHead, margin_cross_entropy, softmax_divergence
from kd.losses.knobs import at_least, one_of, positive
from kd.losses.step import Loss, Setting, Step


def subset_of(photos: Tensor, subsets: Sequence[range]) -> Tensor:
    """Each person's subset, the first that holds their number of photos: (c,) int64 -> (c,) int64; -1 for none."""
    belongs = torch.full_like(photos, -1)
    for number, subset in reversed(list(enumerate(subsets))):
        belongs[(photos >= subset.start) & (photos < subset.stop)] = number
    return belongs


SIZES: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {"equal": torch.ones_like, "photos": torch.clone}
)
"""Photos of each subset -> what their weights are proportional to."""


def part_of(head: FrozenHead, classes: Tensor) -> FrozenHead:
    """The rows of some classes, (c,) int64, in the measure of the whole head. Every rank holds them all."""
    part = FrozenHead(head.of(classes))
    part.floor = head.floor
    return part


class Subsets(Loss):
    """Margin softmax over W + `weight` × Σ w_k · the mean, over the views of subset k, of T² × KL to its teacher.

    The softmax of a subset is over the subset's rows of W alone, since its teacher knows no others.
    A view's target is what the teacher of its person's subset sees; NaN where there is none. Rows labelled -1 do not
    count.

    temperature: T. weighting: what w_k, whose sum is 1, go by: `equal`, so that the many people with few photos count
    as much as the few with many, or `photos`, as many as each subset holds.
    Source: Ju et al., Relational Subsets Knowledge Distillation for Long-tailed Retinal Diseases Recognition (MICCAI
    2021, arXiv 2104.11057). Their weights we have not seen. That subsets go by photos, and that all subset teachers
    inherited one W, without which their spaces would not be one, is our reading for faces.
    """

    belongs: Tensor

    def __init__(
        self, setting: Setting, temperature: float = 4.0, weight: float = 1.0, weighting: str = "equal"
    ) -> None:
        super().__init__()
        self.head, self.margin, self.scale = setting.head, setting.new_margin(), setting.scale
        self.temperature, self.weight = positive("temperature", temperature), at_least("weight", weight, 0)
        size = SIZES[one_of("weighting", weighting, SIZES)]
        self.register_buffer("belongs", subset_of(setting.photos, setting.subsets), persistent=False)
        members = [(self.belongs == number).nonzero()[:, 0] for number in range(len(setting.subsets))]
        _require_people(setting.subsets, members)
        self.parts = nn.ModuleList([part_of(self.head, classes) for classes in members])
        sizes = size(torch.stack([setting.photos[classes].sum() for classes in members]))
        self.shares = (sizes / sizes.sum()).tolist()

    def forward(self, step: Step) -> Tensor:
        people = margin_cross_entropy(
            step.vectors, step.raw, step.labels, self.head, self.margin, scale=self.scale, ramp=step.ramp
        )
        learnt = [share * self._learnt(step, number) for number, share in enumerate(self.shares)]
        return distributed.mean(people) + self.weight * torch.stack(learnt).sum()

    def _learnt(self, step: Step, number: int) -> Tensor:
        """Mean of T² × KL over the views of one subset's people; 0 where the batch has none."""
        chosen = (step.labels >= 0) & (self.belongs[step.labels] == number) & step.answered
        head, scale = cast(FrozenHead, self.parts[number]), self.scale / self.temperature
        rows = softmax_divergence(step.vectors[chosen], step.taught[chosen], head, scale=scale)
        return self.temperature**2 * distributed.mean(rows)


def _require_people(subsets: Sequence[range], members: Sequence[Tensor]) -> None:
    """Raises UnknownName without subsets, DataUnusable for one without people."""
    if not subsets:
        remedy = "Give one with --subset-teacher FIRST-LAST=MODEL."
        raise UnknownName("a method that needs class-subset teachers, in a run without one", "subsets", remedy)
    for subset, classes in zip(subsets, members, strict=True):
        if not len(classes):
            numbers = f"{subset.start}-{subset.stop - 1}"
            raise DataUnusable(
                "no person has so many photos", numbers, "Change the teacher's FIRST-LAST, or add photos."
            )
