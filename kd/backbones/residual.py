"""A student and its assistant, for faces of low resolution.

Source: Kong et al., Cross-resolution face recognition via prior-aided face hallucination and residual knowledge
distillation (arXiv 1905.10777): the assistant learns what the student still lacks of the teacher's embedding of the
sharp photo, and the embedding is the sum of both. That both see the same low-resolution crop is its published code.
"""

import torch
from torch import Tensor, nn


class ResidualPair(nn.Module):
    """(n, 3, side, side) -> (n, 2, dim) of student and assistant while training, else their sum (n, dim)."""

    def __init__(self, student: nn.Module, assistant: nn.Module) -> None:
        super().__init__()
        self.student, self.assistant = student, assistant

    def forward(self, crops: Tensor) -> Tensor:
        halves = torch.stack([self.student(crops), self.assistant(crops)], dim=1)
        return halves if self.training else halves.sum(dim=1)
