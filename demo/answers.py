"""What the service answers about a photo of one person, and what should have been answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.client import Client
from app.schemas import IdentifyAnswer
from demo.photos import Question

Verdict = Literal["right", "unknown", "wrong", "no face"]


@dataclass(frozen=True, slots=True)
class Answers:
    """The verdicts on some photos, all given by one model."""

    model: str
    verdicts: tuple[Verdict, ...]

    def count(self, verdict: Verdict) -> str:
        """For the table: `10 of 10`."""
        return f"{self.verdicts.count(verdict)} of {len(self.verdicts)}"

    def share(self, verdict: Verdict) -> float:
        return self.verdicts.count(verdict) / len(self.verdicts)


def ask(url: str, questions: Sequence[Question]) -> Answers:
    """Identify every photo once; `model` is the name that the answers give, all the names where they differ."""
    with Client(url) as client:
        answers = [client.identify(question.photo) for question in questions]
    names = sorted({answer.model.name for answer in answers})
    verdicts = (verdict(answer, question.subject) for answer, question in zip(answers, questions, strict=True))
    return Answers(", ".join(names), tuple(verdicts))


def verdict(answer: IdentifyAnswer, subject: str) -> Verdict:
    """How the answer's surest face was decided, against the Subject that the photo shows."""
    if not answer.faces:
        return "no face"
    decided = answer.faces[0].decision.subject_id
    if decided is None:
        return "unknown"
    return "right" if decided == subject else "wrong"
