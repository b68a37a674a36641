"""What can go wrong with a gallery; hangs under `faces.errors`.

GalleryError
├── GalleryExists        a file is already where a new gallery should go
├── GalleryMissing       no file at that path
├── GalleryForeign       an SQLite file of another program, or of a newer version of this one
├── GalleryCorrupt       the file is damaged; it was not changed
├── GalleryBusy          another process holds the write lock for too long
└── GalleryUnavailable   the operating system refuses: no permission, no space, I/O error
SegmentDamaged           a file of the cache is not what was written: made again from the store
CollectionUnknown, CollectionExists, CollectionInvalid
SubjectUnknown, SubjectExists, SubjectInvalid, TemplateUnknown, NegativeUnknown, MergeUnknown, MergeImpossible
TemplatesInvalid, ProbesInvalid, PhotoUnreadable, NothingToEnrol, NotCalibrated, NoProbes, PlotUnavailable
ApproximationRefused     a search that looks at fewer rows would miss too much here, or nobody can tell
AuditInvalid, AccessKeyInvalid, AccessKeyUnknown, AccessRefused
ExportInvalid, SignatureRefused, SigningKeyMissing, SigningKeyInvalid, ScanBlind
StoreKeyError            about the key that embeddings are sealed with; its value is a key's id or a variable's name
├── StoreKeyMissing      the store is sealed, and there is no key
├── StoreKeyInvalid      what is given as a key is none
├── StoreKeyWrong        it is another key
└── SealBroken           an embedding that the right key does not open
"""

from faces.errors import FacesError


class GalleryError(FacesError):
    code = "gallery_error"


class GalleryExists(GalleryError):
    code = "gallery_exists"


class GalleryMissing(GalleryError):
    code = "gallery_missing"


class GalleryForeign(GalleryError):
    code = "gallery_foreign"


class GalleryCorrupt(GalleryError):
    code = "gallery_corrupt"


class GalleryBusy(GalleryError):
    code = "gallery_busy"


class GalleryUnavailable(GalleryError):
    code = "gallery_unavailable"


class SegmentDamaged(FacesError):
    code = "segment_damaged"


class CollectionUnknown(FacesError):
    code = "collection_unknown"


class CollectionExists(FacesError):
    code = "collection_exists"


class CollectionInvalid(FacesError):
    """A name of a collection that cannot be stored."""

    code = "collection_invalid"


class SubjectUnknown(FacesError):
    code = "subject_unknown"


class SubjectExists(FacesError):
    code = "subject_exists"


class SubjectInvalid(FacesError):
    """A subject id, a name or details that cannot be stored."""

    code = "subject_invalid"


class TemplateUnknown(FacesError):
    code = "template_unknown"


class NegativeUnknown(FacesError):
    code = "negative_unknown"


class MergeUnknown(FacesError):
    """There is no such merge, or it was undone."""

    code = "merge_unknown"


class MergeImpossible(FacesError):
    """Of a Subject with itself; or the undoing of one whose Subjects have changed too much since."""

    code = "merge_impossible"


class TemplatesInvalid(FacesError):
    """Not embeddings of this Space: wrong shape, NaN, or not of unit length."""

    code = "templates_invalid"


class ProbesInvalid(FacesError):
    """As TemplatesInvalid, or an impossible number of Candidates."""

    code = "probes_invalid"


class PhotoUnreadable(FacesError):
    """A photo, or a folder of them, that the operating system does not give us."""

    code = "photo_unreadable"


class NothingToEnrol(FacesError):
    code = "nothing_to_enrol"


class NotCalibrated(FacesError):
    """Neither the gallery nor the card knows a threshold for this FPIR."""

    code = "not_calibrated"


class NoProbes(FacesError):
    """A folder of labelled probes with no photo that can be one."""

    code = "no_probes"


class ApproximationRefused(FacesError):
    """Too much would be missed, or there is too little to tell."""

    code = "approximation_refused"


class PlotUnavailable(FacesError):
    """No plot can be drawn: matplotlib is missing, or nothing is there to draw, or the file's kind is not known."""

    code = "plot_unavailable"


class AuditInvalid(FacesError):
    """What the audit log does not take, or no head of one."""

    code = "audit_invalid"


class AccessKeyInvalid(FacesError):
    """What no API key can be."""

    code = "access_key_invalid"


class AccessKeyUnknown(FacesError):
    code = "access_key_unknown"


class AccessRefused(FacesError):
    """An API key that is none, has expired or was revoked. Its value is the id at most, never the secret."""

    code = "access_refused"


class StoreKeyError(FacesError):
    code = "store_key_error"


class StoreKeyMissing(StoreKeyError):
    code = "store_key_missing"


class StoreKeyInvalid(StoreKeyError):
    code = "store_key_invalid"


class StoreKeyWrong(StoreKeyError):
    code = "store_key_wrong"


class SealBroken(StoreKeyError):
    code = "seal_broken"


class ExportInvalid(FacesError):
    """A file that is no exported collection, or one that cannot be taken in."""

    code = "export_invalid"


class SignatureRefused(FacesError):
    code = "signature_refused"


class SigningKeyMissing(FacesError):
    code = "signing_key_missing"


class SigningKeyInvalid(FacesError):
    code = "signing_key_invalid"


class ScanBlind(FacesError):
    """Bytes that must be in a file were not found there, so that not finding them later would say nothing."""

    code = "scan_blind"
