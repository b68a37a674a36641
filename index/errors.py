"""What can go wrong with a gallery; hangs under `faces.errors`.

GalleryError
├── GalleryExists        a file is already where a new gallery should go
├── GalleryMissing       no file at that path
├── GalleryForeign       an SQLite file of another program, or of a newer version of this one
├── GalleryCorrupt       the file is damaged; it was not changed
├── GalleryBusy          another process holds the write lock for too long
└── GalleryUnavailable   the operating system refuses: no permission, no space, I/O error
SubjectUnknown, SubjectInvalid, TemplatesInvalid, ProbesInvalid, PhotoUnreadable, NothingToEnrol, NotCalibrated,
NoProbes, PlotUnavailable
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


class SubjectUnknown(FacesError):
    code = "subject_unknown"


class SubjectInvalid(FacesError):
    """A subject id or a name that cannot be stored."""

    code = "subject_invalid"


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


class PlotUnavailable(FacesError):
    """No plot can be drawn: matplotlib is missing, or nothing is there to draw, or the file's kind is not known."""

    code = "plot_unavailable"
