"""The drawn people, read, and their teacher, loaded."""

from pathlib import Path

import pytest

from faces.embed import ModelEmbedder
from faces.models import open_embedder, read_model
from kd.data.people import People, prepare_people


@pytest.fixture
def faces(people: Path, tmp_path: Path) -> People:
    return prepare_people([people], tmp_path / "data", lambda: None)


@pytest.fixture
def embedder(teacher: Path) -> ModelEmbedder:
    return open_embedder(read_model(teacher))
