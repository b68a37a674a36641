"""Batches for the losses that compare rows with one another, and what every one of them must be."""

import torch
import torch.nn.functional as F

from kd.losses.step import Blend, Setting, Step
from kd.margins import CosFace


def unit_rows(count, dim=4, *, seed=0):
    """(count, dim), float64."""
    return F.normalize(torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def setting(classes=3, dim=4):
    return Setting(None, dim, torch.ones(classes, dtype=torch.int64), scale=16.0, new_margin=lambda: CosFace(0.2))


def step(vectors, targets, labels=None):
    labels = torch.arange(len(vectors)) if labels is None else torch.tensor(labels, dtype=torch.int64)
    nobody = torch.full_like(labels, -1)
    blend = Blend(labels, nobody, torch.ones(len(labels)))
    return Step(vectors, vectors, labels, blend, targets, None, ramp=1.0)


def rotation(dim=4, *, seed=7):
    """(dim, dim), orthogonal."""
    return torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))).Q


def slope(loss, batch):
    """The loss of a batch, and its gradient at the student's rows."""
    vectors = batch.vectors.clone().requires_grad_()
    value = loss(step(vectors, batch.targets, batch.labels.tolist()))
    value.backward()
    return float(value.detach()), vectors.grad
