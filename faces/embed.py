"""Crops to embeddings: the Embedder that every gallery, service and training run asks."""

import json
from dataclasses import asdict
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from faces.errors import WeightsUnreadable
from faces.runtime import Network, run_in_batches
from faces.space import Input, ModelCard, Space, digest, short_id

Crops = NDArray[np.uint8]
"""(n, height, width, 3) RGB."""
Vectors = NDArray[np.float32]
"""(n, dim), rows of unit length."""

_BATCH: Final = 64  # more gains nothing and only costs memory


class Embedder(Protocol):
    @property
    def space(self) -> Space: ...

    @property
    def model_id(self) -> str: ...

    def embed(self, crops: Crops) -> Vectors:
        """(n, height, width, 3) uint8 RGB, in the Model's own Recipe -> (n, dim) float32, unit rows."""
        ...


class ModelEmbedder:
    """An Embedder over a Model: the card says how a Crop becomes the network's input."""

    def __init__(self, card: ModelCard, network: Network) -> None:
        self.card = card
        self.recipe = card.crop
        self.space = card.space
        self.model_id = card.model_id
        self._network = network

    @property
    def identity(self) -> str:
        """What kept embeddings are known by: the file, the Crop that it wants, and what is made of the Crop first.

        The `model_id` alone is the file's: the same network, told to take BGR, answers otherwise.
        """
        asked = {"model_id": self.model_id, "input": asdict(self.card.input), "crop": asdict(self.card.crop)}
        return short_id(digest(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()))

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder. Raises WeightsUnreadable when the network answers with NaN, infinity or zero length."""
        vectors = np.empty((len(crops), self.space.dim), dtype=np.float32)
        for start in range(0, len(crops), _BATCH):
            (raw,) = run_in_batches(self._network, network_input(crops[start : start + _BATCH], self.card.input))
            lengths = np.linalg.norm(raw, axis=1, keepdims=True)
            if not (np.isfinite(lengths) & (lengths > 0)).all():
                raise WeightsUnreadable("embeddings without a direction from model", self.model_id, "Export it again.")
            vectors[start : start + _BATCH] = raw / lengths
        return vectors


def network_input(crops: Crops, wanted: Input) -> NDArray[np.float32]:
    """(n, h, w, 3) uint8 RGB -> (n, 3, h, w) float32 as a card's Input wants it."""
    ordered = crops if wanted.colour == "RGB" else crops[..., ::-1]
    mean, factor = np.array(wanted.mean, dtype=np.float32), np.float32(1.0 / wanted.scale)
    return np.ascontiguousarray(((ordered - mean) * factor).transpose(0, 3, 1, 2))
