"""What can go wrong while a student is trained, judged or exported."""

from collections.abc import Iterable

from faces.errors import FacesError


class DataUnusable(FacesError):
    """Folders that hold no people, or not enough of them."""

    code = "data_unusable"


class DataUnwritable(FacesError):
    """No room, or no right to write, where prepared faces and what teachers answered are kept."""

    code = "data_unwritable"


class UnknownName(FacesError):
    """A method, margin or backbone that is not in its table."""

    code = "unknown_name"


def require_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises UnknownName, which lists those that are known."""
    names = sorted(known)
    if name not in names:
        raise UnknownName(f"no such {kind}", name, f"Choose from {', '.join(names)}.")


class KnobRefused(FacesError):
    """A knob of a method with a value that it could not train with."""

    code = "knob_refused"


class SizeRefused(FacesError):
    """A side or width that a backbone cannot have, or a batch that ranks cannot share."""

    code = "size_refused"


class ClassifierRefused(FacesError):
    """Class weights that do not read or do not fit, or that the teacher does not recognise its training people by."""

    code = "classifier_refused"


class LossNotFinite(FacesError):
    code = "loss_not_finite"


class CheckpointMismatch(FacesError):
    """A checkpoint of another configuration, or a file that is none."""

    code = "checkpoint_mismatch"


class CheckpointUnwritable(FacesError):
    """No room, or no right to write; the last checkpoint that was saved is still there."""

    code = "checkpoint_unwritable"


class ExportDiffers(FacesError):
    """The exported file does not answer as the network that it was exported from."""

    code = "export_differs"


class ProtocolInvalid(FacesError):
    """A protocol file that does not read, or names photos that are not there."""

    code = "protocol_invalid"


class PlanRefused(FacesError):
    """A comparison that would not be fair, or could not be told apart afterwards."""

    code = "plan_refused"


class RunsFailed(FacesError):
    """A comparison in which some runs came to nothing; the others are reported."""

    code = "runs_failed"


class ImportRefused(FacesError):
    """An option that does not go with where a teacher is imported from."""

    code = "import_refused"


class AdaptRefused(FacesError):
    """A model that cannot be, or need not be, adapted to the Space that was asked for."""

    code = "adapt_refused"
