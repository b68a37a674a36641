"""Three people of six drawn faces each, a teacher of one layer, and a run that takes seconds."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kd.config import GROUPS, Distillation, Optimisation, RunConfig, Student, Viewing
from tests.app.parts import write_model

PEOPLE, PHOTOS = 3, 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, so that equal runs give equal bits. What training sets for its process ends with the test."""
    torch.set_num_threads(1)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ROOT/PERSON/*.png: crops of 128 × 128; each person is a pattern of their own, each photo a noisy copy."""
    root, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for person in range(PEOPLE):
        (root / f"person-{person}").mkdir()
        pattern = cv2.resize(
            rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (128, 128), interpolation=cv2.INTER_LINEAR
        )
        for photo in range(PHOTOS):
            noisy = np.clip(pattern + rng.normal(0, 8, pattern.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / f"person-{person}" / f"{photo}.png"), noisy)
    return root


@pytest.fixture
def config(people: Path, teacher: Path) -> Callable[..., RunConfig]:
    """Settings of a small run; keywords replace any of them, whichever group they are in."""
    base = RunConfig(
        (str(people),),
        Student(backbone="slimresnet", width=0.25, side=32, dim=None, init=None),
        Distillation(
            teacher=str(teacher),
            classifier="means",
            head="float32",
            method="proxyless+cosine",
            margin="cosface",
            margin_size=0.2,
            scale=16.0,
            subset_teachers=(),
            epoch_teachers=None,
            seed=3,
        ),
        Viewing(views=2, mixup=0.3, low_resolution=0.0, sampler="photos", photos_each=(1, None), view_seed=0),
        Optimisation(
            epochs=3, batch=6, rate=1e-3, schedule="flat", decay=0.4, weight_decay=0.0, clip=5.0, ema=0.0, bf16=False
        ),
    )

    def build(**changes: object) -> RunConfig:
        groups = {}
        for name in GROUPS:
            group = getattr(base, name)
            groups[name] = replace(group, **{key: changes.pop(key) for key in list(changes) if hasattr(group, key)})
        return replace(base, **groups, **changes)

    return build
