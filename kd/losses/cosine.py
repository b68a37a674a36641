"""Regression onto the teacher's embedding."""

from torch import Tensor


def cosine(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean of 1 - cos over pairs: (n, d) unit rows, (n, d) unit rows -> (). No gradient reaches the targets.

    For unit rows this is half the squared Euclidean distance, the "L2" of the literature.
    """
    return (1 - (vectors * targets.detach()).sum(dim=1)).mean()
