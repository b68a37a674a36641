"""The student of a run, before it is trained and after."""

import torch
from torch import nn

from faces.align import ARCFACE_112
from faces.space import Recipe
from kd.backbones import build_backbone
from kd.config import Student


def build_student(student: Student, dim: int) -> nn.Module:
    """A fresh network in the memory layout that CPUs like."""
    network = build_backbone(student.backbone, student.side, dim, student.width)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def student_recipe(student: Student, teacher: Recipe | None) -> Recipe:
    """The teacher's view of the face, at the student's size; ArcFace's where there is no teacher."""
    return (teacher or ARCFACE_112).scaled(student.side, student.side)
