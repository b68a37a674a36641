"""In which order an epoch shows the photos.

A sampler is a pure function: (labels, batch, rng, centres) -> (steps, batch) numbers of photos.
labels: (n,) int64, -1 where nobody knows. batch: views in a step. rng: the epoch's own. centres: (classes, dim), rows
of the inherited classifier; None where a run has none. How many steps an epoch has follows from labels and batch
alone. Those that look at labels leave out faces without one; their epoch shows as many views as there are labelled
photos, though not each photo once.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans, vq

from faces.embed import Vectors
from kd.errors import DataUnusable, require_name

Integers = NDArray[np.int64]
Sampler = Callable[[Integers, int, np.random.Generator, Vectors | None], Integers]

_EACH: Final = 4  # photos of a person in a step
_SUPERCLASSES: Final = 100
_TINY: Final = 1e-12


def epoch_order(
    name: str, labels: Integers, batch: int, seed: int, centres: Vectors | None
) -> Callable[[int], Integers]:
    """Epoch -> its order by the sampler of this name: a function of (seed, epoch) and nothing else.

    Raises UnknownName.
    """
    require_name("sampler", name, SAMPLERS)
    return lambda epoch: SAMPLERS[name](labels, batch, np.random.default_rng([seed, epoch]), centres)


def photos(labels: Integers, batch: int, rng: np.random.Generator, _centres: Vectors | None) -> Integers:
    """Every photo once, but for those that fill no batch."""
    steps = len(labels) // batch
    return rng.permutation(len(labels))[: steps * batch].reshape(steps, batch)


def class_uniform(
    labels: Integers, batch: int, rng: np.random.Generator, _centres: Vectors | None, *, each: int = _EACH
) -> Integers:
    """Every person equally often: `each` photos of batch / each people in a step.

    Source: Peng et al., Correlation congruence for knowledge distillation (arXiv 1904.01802): k classes, n images of
    each. Where there are fewer people than that, each shows more photos; of those with too few, photos come again.
    """
    return _uniform(labels, batch, rng, np.zeros(len(_present(labels)), dtype=np.int64), each)


def superclass_uniform(
    labels: Integers,
    batch: int,
    rng: np.random.Generator,
    centres: Vectors | None,
    *,
    each: int = _EACH,
    superclasses: int = _SUPERCLASSES,
) -> Integers:
    """`class_uniform` within one superclass a step: people who look alike to the teacher, drawn by their number.

    superclasses: how many at most; fewer where one would not fill a step. Raises DataUnusable without centres.
    Source: the same; the superclasses are clusters of the teacher's class centres.
    """
    if centres is None:
        raise DataUnusable("no class weights to find superclasses in", "superclass-uniform", "Give a --teacher.")
    present = _present(labels)
    most = max(1, len(present) * each // batch)
    return _uniform(labels, batch, rng, clusters(centres[present], min(superclasses, most)), each)


def half_balanced(
    labels: Integers, batch: int, rng: np.random.Generator, centres: Vectors | None, *, each: int = _EACH
) -> Integers:
    """The first half of a step as `photos` would show it, of labelled ones; the second as `class_uniform` would.

    Source: Huang et al., Evaluation-oriented knowledge distillation (CVPR 2022), whose code shows 32 photos of each
    kind. An epoch here goes through half of the photos in the first halves, where theirs goes through all.
    """
    labelled, half = np.flatnonzero(labels >= 0), batch // 2
    steps = len(labelled) // batch
    general = rng.permutation(labelled)[: steps * half].reshape(steps, half)
    return np.hstack([general, class_uniform(labels, batch - half, rng, centres, each=each)[:steps]])


SAMPLERS: Final[Mapping[str, Sampler]] = MappingProxyType(
    {
        "photos": photos,
        "class-uniform": class_uniform,
        "superclass-uniform": superclass_uniform,
        "half-balanced": half_balanced,
    }
)


def clusters(centres: Vectors, count: int) -> Integers:
    """(n,): the cluster of each row of (n, dim), by direction; at most `count` of them, numbered from 0."""
    rows = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), _TINY)
    guess = rows[np.random.default_rng(0).choice(len(rows), min(count, len(rows)), replace=False)]
    means, _ = kmeans(rows, guess)
    _, numbers = np.unique(vq(rows, means)[0], return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


def _present(labels: Integers) -> Integers:
    """Labels that have photos, ascending."""
    return np.unique(labels[labels >= 0])


def _uniform(labels: Integers, batch: int, rng: np.random.Generator, kin: Integers, each: int) -> Integers:
    """Steps within one group of people each, drawn by the number of its people, so that all are shown equally often.

    kin: the group of each label in `_present(labels)`.
    """
    shuffled = rng.permutation(np.flatnonzero(labels >= 0))
    by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
    steps = len(by_person) // batch
    order = np.empty((steps, batch), dtype=np.int64)
    if steps == 0:
        return order
    _, starts, counts = np.unique(labels[by_person], return_index=True, return_counts=True)
    sizes = np.bincount(kin)
    groups = rng.choice(len(sizes), steps, p=sizes / sizes.sum())
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        members = np.flatnonzero(kin == group)
        people = min(-(-batch // each), len(members))
        of_each = np.arange(-(-batch // people))
        who, turn = _turns(members, people, len(mine), rng)
        places = (turn[:, None, None] * len(of_each) + of_each) % counts[who][..., None]
        order[mine] = by_person[starts[who][..., None] + places].reshape(len(mine), -1)[:, :batch]
    return order


def _turns(members: Integers, people: int, steps: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """(steps, people) members, different ones in a step, and (steps,) the turn, which brings each at most once."""
    a_turn = len(members) // people
    turns = -(-steps // a_turn)
    who = [rng.permutation(members)[: a_turn * people].reshape(a_turn, people) for _ in range(turns)]
    return np.concatenate(who)[:steps], np.repeat(np.arange(turns), a_turn)[:steps]
