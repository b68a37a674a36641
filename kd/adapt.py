"""A better model in front of an old gallery: a small head carries what it answers into the old Space."""

from functools import partial
from pathlib import Path

import torch

from faces.models import Model, find_model, open_embedder
from kd import distributed
from kd.adapters import Adapter
from kd.checks import checked
from kd.config import AdaptConfig
from kd.data.rows import kept_rows, pairs, row_batches
from kd.distil import (
    Tell,
    begin,
    data_folder,
    go_through,
    introduce,
    new_run,
    photo_order,
    prepared,
    steps_an_epoch,
)
from kd.errors import AdaptRefused
from kd.trunk import open_trunk


@distributed.together()
def adapt(config: AdaptConfig, folder: Path, *, tell: Tell, data: Path | None = None) -> None:
    """Fit a head on a frozen Embedder to the Space of an old teacher, by the losses and in the loop of `kd train`.

    Both models embed `config.viewing.views` views of each photo, once; the head then learns from those rows alone.
    `kd.export.export` makes the Embedder and its head one Model. folder, tell, data: as in `kd.distil.distil`.
    Raises AdaptRefused when there is nothing to adapt or no way to, DataUnusable when there are too few photos.
    """
    terms, chosen, threads = checked(config), config.adaptation, torch.get_num_threads()
    new, old = _two_models(config)
    begin(config, folder)
    embedder, teacher = open_trunk(new, chosen.rows, threads=threads), open_embedder(old, threads=threads)
    lesson = prepared(config, data_folder(folder, data))
    steps_an_epoch(config, lesson)  # too few photos are refused before any view is embedded
    introduce(lesson, terms, tell)
    rows = kept_rows(lesson.folder, lesson.people, config.viewing, embedder, chosen.rows, teacher)
    adapter = Adapter(embedder.space.dim, old.card.dim, chosen.hidden, chosen.drop)
    adapter.fit_linear(pairs(rows))
    run = new_run(config, terms, lesson, adapter, old.card.dim)
    go_through(run, config, folder, partial(row_batches, rows, photo_order(config, lesson)), tell)


def _two_models(config: AdaptConfig) -> tuple[Model, Model]:
    """The one to adapt, and the one of the old Space."""
    embedder, teacher = config.adaptation.embedder, config.distillation.teacher
    if teacher is None:
        raise AdaptRefused("no Space to adapt to", embedder, "Give --teacher, the model of the gallery.")
    new, old = find_model(embedder), find_model(teacher)
    if new.card.space == old.card.space:
        raise AdaptRefused(
            "the new model is of the old Space already", embedder, "Search the gallery with it as it is."
        )
    return new, old
