"""A small Model for the tests of `faces`: one layer over 4 × 4 mean colours."""

from pathlib import Path
from typing import Any

import numpy as np

from faces.align import ARCFACE_112
from faces.space import Input, Licence, ModelCard, Space, digest, short_id
from faces.weights.graph import Graph, count_parameters

DIM = 8
SPACE = Space(teacher="ab" * 32, dim=DIM, crop=ARCFACE_112.name)


def small_network(*, dim: int = DIM, side: int = 112, weights: np.ndarray | None = None) -> bytes:
    """`crops` (n, 3, side, side) -> `vectors` (n, dim), rows not of unit length."""
    drawn = np.random.default_rng(7).standard_normal((48, dim)) if weights is None else weights
    graph = Graph("small")
    pooled = graph.node("AveragePool", "crops", kernel_shape=[side // 4] * 2, strides=[side // 4] * 2)
    vectors = graph.node("MatMul", graph.node("Flatten", pooled), graph.constant(drawn.astype(np.float32)))
    return graph.model({"crops": ("n", 3, side, side)}, {"vectors": (vectors, ("n", dim))})


def small_card(model: bytes, **changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "name": "small",
        "model_id": short_id(digest(model)),
        "role": "student",
        "space": SPACE,
        "space_id": SPACE.space_id,
        "teacher_model_id": "0" * 16,
        "input": Input(112, 112, "RGB", (127.5, 127.5, 127.5), 128.0),
        "crop": ARCFACE_112,
        "dim": DIM,
        "parameters": count_parameters(model),
        "licence": Licence(code="Apache-2.0", weights="Apache-2.0", data="none"),
        "trained": None,
        "measured": {},
        "created": "2026-01-31",
    }
    return ModelCard(**(fields | changes))


def write_model(folder: Path, model: bytes, card: ModelCard) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "card.json").write_text(card.to_json())
    return folder
