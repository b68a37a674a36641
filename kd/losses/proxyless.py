"""ProxylessKD: the student is trained on the classifier that its teacher was trained with."""

import torch.nn.functional as F
from torch import Tensor

from kd.margins import Margin, MarginLogits


def proxyless(cosines: Tensor, labels: Tensor, logits: MarginLogits, margin: Margin) -> Tensor:
    """Softmax cross-entropy over margin logits to the frozen class weights: (n, classes), (n,) -> ().

    Rows labelled -1 do not count; a batch without labels gives 0. No teacher is asked.
    Source: Shi, Ren, Chen, Yan, ProxylessKD (arXiv 2011.00265); its frozen final classifier is `kd.head.FrozenHead`.
    """
    known = labels >= 0
    if not known.any():
        return cosines.sum() * 0
    return F.cross_entropy(logits(cosines[known], labels[known], margin), labels[known])
