"""Multi-step distillation: in its epoch k the student imitates what its teacher was after epoch k."""

from torch import Tensor

from kd import distributed
from kd.losses.knobs import positive
from kd.losses.step import Loss, Setting, Step


def squared_error(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean over dimensions of the squared difference: (n, d), (n, d) unit rows -> (n,). No gradient to the targets."""
    return (vectors - targets.detach()).square().mean(dim=1)


class Multistep(Loss):
    """`weight` × the mean squared error of unit rows, against the teacher that the run's epoch is given.

    The mean is over rows and dimensions, so at 128 dimensions a weight of 100 is 1.56 for two unrelated rows. The
    paper adds ArcFace with a trainable classifier: `none+multistep`.
    Source: Boutros et al., PocketNet (IEEE Access 2022), and its code for the mean.
    """

    def __init__(self, setting: Setting, weight: float = 100.0) -> None:  # noqa: ARG002
        super().__init__()
        self.weight = positive("weight", weight)

    def forward(self, step: Step) -> Tensor:
        rows = squared_error(step.vectors[step.answered], step.taught[step.answered])
        return self.weight * distributed.mean(rows)
