"""What two frozen networks answer for views of each photo, kept on disk: what an adapter learns from."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faces.console import progress
from faces.embed import ModelEmbedder, Vectors
from kd.config import Viewing
from kd.data.batches import Batch, shown
from kd.data.kept import kept_array
from kd.data.people import People
from kd.data.views import View, augmented_view, plain_view

Rows = NDArray[Any]
"""(views, photos) records: `inputs` and `targets`, float16 embeddings of one view by the one network and the other;
`people` and `share` as Batch has them. Where `share` is 0, nothing has been kept yet."""

_CHUNK: Final = 64  # views embedded at once


def kept_rows(
    folder: Path, people: People, viewing: Viewing, new: ModelEmbedder, features: str, old: ModelEmbedder
) -> Rows:
    """Rows of every view that `viewing` asks for, kept in `folder`, embedded where an earlier start has not done so.

    features: which of its answers `new` gives, as `kd.trunk.open_trunk` knows it.
    """
    record = np.dtype(
        [("inputs", "<f2", new.space.dim), ("targets", "<f2", old.space.dim), ("people", "<i8", 2), ("share", "<f4")]
    )
    asked = [new.identity, features, old.identity]
    rows = kept_array(folder, "rows", record, viewing=viewing, photos=len(people.labels), of=asked)
    missing = np.argwhere(rows["share"] == 0)
    with progress("both models read the views", total=rows.size, done=rows.size - len(missing)) as advance:
        for start in range(0, len(missing), _CHUNK):
            numbers, photos = missing[start : start + _CHUNK].T
            seen = [
                _view(people, int(photo), int(number), viewing) for number, photo in missing[start : start + _CHUNK]
            ]
            made = np.zeros(len(seen), dtype=rows.dtype)
            made["inputs"] = new.embed(np.stack([each.crop(new.card.crop) for each in seen]))
            made["targets"] = old.embed(np.stack([each.crop(old.card.crop) for each in seen]))
            made["people"] = shown(people.labels, photos, seen)
            made["share"] = [each.share for each in seen]
            rows[numbers, photos] = made
            advance(len(seen))
    return rows


def row_batches(rows: Rows, order: Callable[[int], NDArray[np.int64]], *, start: int, mine: slice) -> Generator[Batch]:
    """Batches without end from step `start` (0-based) on. In each epoch a photo shows the view after its last.

    order: epoch -> (steps, batch) numbers of photos. mine: the rows of each batch that are this rank's.
    """
    steps, step = len(order(0)), start
    while True:
        epoch = step // steps
        for photos in order(epoch)[step % steps :]:
            part = rows[(epoch + photos[mine]) % len(rows), photos[mine]]
            yield Batch(_unit(part["inputs"]), part["people"].copy(), part["share"].copy(), _unit(part["targets"]))
            step += 1


def pairs(rows: Rows) -> Iterator[tuple[Vectors, Vectors]]:
    """(n, inputs) and (n, dim) unit rows of every view, in parts that fit into memory."""
    flat = rows.reshape(-1)
    for start in range(0, len(flat), 1 << 14):
        part = flat[start : start + (1 << 14)]
        yield _unit(part["inputs"]), _unit(part["targets"])


def _view(people: People, photo: int, number: int, viewing: Viewing) -> View:
    """View 0 is the photo as it is, which is what galleries hold; the others are those of `kd train`."""
    if number == 0:
        return plain_view(people.crops[photo])
    return augmented_view(
        people.crops,
        photo,
        number,
        seed=viewing.view_seed,
        mixup=viewing.mixup,
        low_resolution=viewing.low_resolution,
    )


def _unit(kept: NDArray[np.float16]) -> Vectors:
    rows = kept.astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
