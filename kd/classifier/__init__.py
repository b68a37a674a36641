"""The inherited classifier W: what a teacher tells people apart by, from wherever it is kept."""

from pathlib import Path
from typing import Final

from faces.embed import ModelEmbedder
from kd.classifier.check import Classifier, checked, embeddings, sampled, teacher_accuracy
from kd.classifier.files import Rows, classifier_file, read_rows
from kd.classifier.means import class_means, kept_class_means
from kd.classifier.order import match_rows, order_rows
from kd.data.people import People
from kd.errors import ClassifierRefused

MEANS: Final = "means"
"""The source that needs no file: class means of the teacher's embeddings."""

__all__ = [
    "MEANS",
    "Classifier",
    "class_means",
    "classifier_file",
    "inherit",
    "kept_class_means",
    "teacher_accuracy",
]


def inherit(people: People, teacher: ModelEmbedder, source: str | Path, folder: Path) -> Classifier:
    """The class weights that a student of `teacher` trains with on `people`: row i is label i, other people follow.

    source: `means`, or what `read_rows` reads: a file of weights, a Model folder, or a folder of partial-FC shards.
    folder: where class means are kept for the next start.
    A file that holds rows of people who are not in the data keeps them: they are classes like the others, whom nobody
    shows. The other way round it is refused: beside rows that a margin has driven apart, a class mean made up for a
    person without one (as BCT does for classes that the old model never saw) is another kind of target, and the check
    below could not tell a missing row from a misspelt name.
    Raises ClassifierRefused with the figure when the rows do not fit people or teacher, above all when the teacher
    recognises fewer than half of up to 2,048 photos by them.
    """
    if source == MEANS:
        return kept_class_means(people, teacher, folder / "class-means.npz")
    path = Path(source)
    rows = read_rows(path)
    _require_dim(rows, teacher, path)
    if rows.in_order:
        order, photos = order_rows(rows, people, path), sampled(people)
    else:
        order, photos = match_rows(rows, people, teacher, path)
    vectors = embeddings(people, photos, teacher)
    return checked(rows.weights[order], vectors, people.labels[photos], f"in {path}")


def _require_dim(rows: Rows, teacher: ModelEmbedder, path: Path) -> None:
    if rows.weights.shape[1] != teacher.space.dim:
        raise ClassifierRefused(
            f"class weights of another dimension than the teacher's {teacher.space.dim}, in {path}",
            rows.weights.shape[1],
            "Give the classifier that this teacher was trained with.",
        )
