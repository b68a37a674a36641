"""Class means: the classifier of a teacher that has none, or whose classifier knows other people."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from faces.embed import ModelEmbedder
from faces.files import write_whole
from kd.classifier.check import Classifier, checked, embedded, sampled
from kd.data.people import People
from kd.data.room import unwritable_in_words
from kd.errors import ClassifierRefused

_LOOKED_AT: Final = 64  # crops that tell one set of photos from another


def kept_class_means(people: People, teacher: ModelEmbedder, file: Path) -> Classifier:
    """`class_means`, kept in `file` (.npz) for the next start with the same teacher and the same photos."""
    key = f"{teacher.identity} {_fingerprint(people)}"
    kept = _kept(file, key)
    if kept is not None:
        return kept
    classifier = class_means(people, teacher)
    buffer = io.BytesIO()
    np.savez(buffer, weights=classifier.weights, accuracy=classifier.accuracy, key=key)
    with unwritable_in_words(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, buffer.getvalue())
    return classifier


def class_means(people: People, teacher: ModelEmbedder) -> Classifier:
    """Mean of the teacher's unit embeddings of each person's photos, checked on a sample of those photos.

    Raises ClassifierRefused where the teacher recognises its training people by it no better than by a foreign one,
    and where a person has no photo.
    """
    counts = np.bincount(people.labels[people.labels >= 0], minlength=len(people.names))
    if not counts.all():
        raise ClassifierRefused("people without a photo", int((counts == 0).sum()), "Leave them out of the data.")
    sums = np.zeros((len(people.names), teacher.space.dim), dtype=np.float32)
    sample, kept = sampled(people), []
    for photos, vectors in embedded(people, np.flatnonzero(people.labels >= 0), teacher):
        np.add.at(sums, people.labels[photos], vectors)
        kept.append(vectors[np.isin(photos, sample)])
    weights = sums / counts.astype(np.float32)[:, None]
    return checked(weights, np.concatenate(kept), people.labels[sample], "that are its own class means")


def _kept(file: Path, key: str) -> Classifier | None:
    """None when there is none, or one of another teacher or other photos, or of a release that kept no key."""
    try:
        with file.open("rb") as opened, np.load(opened) as kept:
            return Classifier(kept["weights"], float(kept["accuracy"])) if str(kept["key"]) == key else None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _fingerprint(people: People) -> str:
    """Names, labels and some crops spread over the data: enough to tell two sets of photos apart."""
    digest = hashlib.sha256("\n".join(people.names).encode())
    digest.update(people.labels.tobytes())
    for photo in np.unique(np.linspace(0, len(people.labels) - 1, _LOOKED_AT).astype(int)):
        digest.update(people.crops[int(photo)].tobytes())
    return digest.hexdigest()
