"""The state of a service, in the shape of `app.metrics`: read when it is asked for."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from app.engine import Engine
from app.swap import Active, Models
from faces.errors import FacesError


class EngineState:
    """Which models are loaded, who is enrolled, what waits. A few SQL queries an answer, and no search waits for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine

    def __call__(self) -> Iterator[Metric]:
        models = self._engine.switch.models
        yield _loaded(models)
        yield _thresholds(models)
        yield self._waiting()
        yield from self._enrolled()

    def _waiting(self) -> Metric:
        stages = self._engine.stages
        family = GaugeMetricFamily("heirloom_queue_items", "Items whose run has not begun", labels=["stage"])
        for stage in (stages.looking, stages.embedding, stages.searching):
            family.add_metric([stage.name], stages.workers.waiting(stage))
        return family

    def _enrolled(self) -> Iterator[Metric]:
        """A gallery that cannot be read is a figure too, and no error: the others are wanted then all the more."""
        try:
            collections = self._engine.gallery.store.collections()
        except FacesError:
            yield GaugeMetricFamily("heirloom_gallery_readable", _READABLE, value=0)
            return
        yield GaugeMetricFamily("heirloom_gallery_readable", _READABLE, value=1)
        yield GaugeMetricFamily("heirloom_gallery_collections", "Collections of the store", value=len(collections))
        for name, said, total in (
            ("subjects", "Subjects of all collections", sum(each.subjects for each in collections)),
            ("templates", "Templates of all collections", sum(each.templates for each in collections)),
        ):
            yield GaugeMetricFamily(f"heirloom_gallery_{name}", said, value=total)


_READABLE: Final = "1: the gallery's file answers"


def _by_state(models: Models) -> Iterator[tuple[str, Active]]:
    yield "active", models.active
    if models.previous is not None:
        yield "previous", models.previous
    yield from (("candidate", candidate) for candidate in models.candidates)


def _loaded(models: Models) -> Metric:
    family = GaugeMetricFamily(
        "heirloom_model", "1 for each loaded Model: what it is now", labels=["state", "model_id", "name", "role"]
    )
    for state, model in _by_state(models):
        family.add_metric([state, model.card.model_id, model.card.name, model.card.role], 1)
    return family


def _thresholds(models: Models) -> Metric:
    family = GaugeMetricFamily("heirloom_threshold", "The cosine that a loaded Model decides by", labels=["model_id"])
    for _, model in _by_state(models):
        family.add_metric([model.card.model_id], model.threshold.value)
    return family
