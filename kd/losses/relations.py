"""What the relational losses compare: the rows of all ranks, since pairs are what they learn from.

They see how a student's rows lie to one another and never how they lie to the teacher's, so no rotation of the space
changes them: alone they lead no student into the space of its teacher.
"""

from torch import Tensor

from kd import distributed
from kd.losses.step import Step


def all_rows(step: Step) -> tuple[Tensor, Tensor, Tensor]:
    """Unit rows of the student (n, d), of the teacher (n, d), labels (n,): of all ranks, where a teacher answers."""
    student, teacher = distributed.gather(step.vectors), distributed.gathered(step.taught)
    labels = distributed.gathered(step.labels)
    taught = ~teacher.isnan().any(dim=1)  # only now: every rank hands over as many rows
    return student[taught], teacher[taught], labels[taught]
