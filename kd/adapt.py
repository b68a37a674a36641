"""A better model in front of an old gallery: a small head carries what it answers into the old Space."""

from functools import partial
from pathlib import Path

import torch

from faces.embed import ModelEmbedder
from faces.models import find_model, open_embedder
from faces.space import digest, short_id
from kd.adapters import Adapter
from kd.config import AdaptConfig
from kd.data.rows import Rows, kept_rows, pairs, row_batches
from kd.distil import (
    Lesson,
    Tell,
    begin,
    checked,
    data_folder,
    go_through,
    introduce,
    new_run,
    photo_order,
    prepared,
    steps_an_epoch,
)
from kd.errors import AdaptRefused


def adapt(config: AdaptConfig, folder: Path, *, tell: Tell, data: Path | None = None) -> None:
    """Fit a head on a frozen Embedder to the Space of an old teacher, by the losses and in the loop of `kd train`.

    Both models embed `config.viewing.views` views of each photo, once; the head then learns from those rows alone.
    `kd.export.export` makes the Embedder and its head one Model. folder, tell, data: as in `kd.distil.distil`.
    Raises AdaptRefused when there is no way to go, DataUnusable when there are too few photos.
    """
    terms = checked(config)
    begin(config, folder)
    embedder = open_embedder(find_model(config.adaptation.embedder), threads=torch.get_num_threads())
    lesson = prepared(config, data_folder(folder, data))
    if lesson.teacher is None:
        raise AdaptRefused("no Space to adapt to", config.adaptation.embedder, "Give --teacher, the gallery's model.")
    _require_other_space(embedder, lesson.teacher)
    steps_an_epoch(config, lesson)  # refuses too few photos before hours of embedding
    introduce(lesson, terms, tell)
    rows = _rows(config, lesson, embedder, lesson.teacher)
    dim = lesson.teacher.space.dim
    adapter = Adapter(embedder.space.dim, dim, config.adaptation.hidden, config.adaptation.drop)
    adapter.fit_linear(pairs(rows))
    stream = partial(row_batches, rows, photo_order(config, lesson))
    go_through(new_run(config, terms, lesson, adapter, dim), config, folder, stream, tell)


def _require_other_space(embedder: ModelEmbedder, teacher: ModelEmbedder) -> None:
    if embedder.space == teacher.space:
        raise AdaptRefused(
            "the new model is of the old Space already", embedder.model_id, "Search the gallery with it as it is."
        )


def _rows(config: AdaptConfig, lesson: Lesson, embedder: ModelEmbedder, teacher: ModelEmbedder) -> Rows:
    """What both models answer for the views, kept with the prepared faces."""
    asked = f"{embedder.model_id} {teacher.model_id} {config.viewing}"
    file = lesson.folder / f"rows-{short_id(digest(asked.encode()))}.npy"
    return kept_rows(file, lesson.people, config.viewing, embedder, teacher)
