"""How good the picture of a face is: reasons why its embedding may not be trusted. No face is hidden for them.

Measured with this package's detector; the cosines are MobileFaceNet's (MS1M), of 61 LFW photos to themselves as they
were; "pixels of the crop" are those of the 112 × 112 one:

- small: 16, 12, 10, 8 pixels between the eyes, by shrinking the photo, leave a cosine of 0.94, 0.85, 0.74, 0.58;
- blurred: a Gaussian of 1, 1.5, 2, 3 pixels of the crop leaves 0.97, 0.88, 0.75, 0.39; 5, 55, 97, 100 % are flagged;
- profile: flagged are 96 % of CFP's profile photos and none of its frontal ones;
- tilted: of faces turned by 15, 30, 45, 60 degrees, the detector places the landmarks of 100, 90, 63, 18 % rightly.

Of the faces that LFW's 2,906 dev photos are of, 98.6 % are ok; nearly all of the others are profiles.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.align import ARCFACE_112, Image, align
from faces.detect import Face

MIN_EYE_DISTANCE: Final = 12.0
"""Pixels of the photo between the eyes. A frontal face is about 2.2 times as wide."""
MIN_SHARPNESS: Final = 0.01
"""Variance of the Laplacian over variance of the grey values, both in the aligned crop: free of size and contrast."""
MAX_YAW: Final = 0.4
"""Distance of the nose from the line between the middle of the eyes and of the mouth, over the eye distance."""
MAX_ROLL: Final = 40.0
"""Degrees between the line of the eyes and the horizontal."""
MIN_SCORE: Final = 0.95
"""Score of the detector. The faces that LFW's photos are of have 0.98 or more."""

_INNER: Final = (slice(8, 104), slice(16, 96))
"""Rows and columns of the 112 × 112 crop that show the face and little else."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quality:
    """`ok` when there is no reason for doubt."""

    ok: bool
    reasons: tuple[str, ...]
    """Of "small", "blurred", "profile", "tilted", "uncertain_detection"."""


def assess(image: Image, face: Face) -> Quality:
    """What speaks against the picture of a face in a photo."""
    landmarks = face.landmarks.astype(np.float64)
    verdicts = {
        "small": eye_distance(landmarks) < MIN_EYE_DISTANCE,
        "blurred": sharpness(align(image, face.landmarks, ARCFACE_112)) < MIN_SHARPNESS,
        "profile": yaw(landmarks) > MAX_YAW,
        "tilted": roll(landmarks) > MAX_ROLL,
        "uncertain_detection": face.score < MIN_SCORE,
    }
    reasons = tuple(reason for reason, holds in verdicts.items() if holds)
    return Quality(not reasons, reasons)


def eye_distance(landmarks: Points) -> float:
    """In pixels; landmarks: (5, 2)."""
    return math.dist(landmarks[0], landmarks[1])


def yaw(landmarks: Points) -> float:
    """How far the nose has left the middle of the face, in eye distances: 0 from the front, about 1 from the side.

    A face without width, all of whose landmarks lie on a line, is seen from the side.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks
    middle = (left_eye + right_eye) / 2
    axis = (left_mouth + right_mouth) / 2 - middle
    to_nose = nose - middle
    area = abs(axis[0] * to_nose[1] - axis[1] * to_nose[0])
    scale = math.hypot(*axis) * eye_distance(landmarks)
    return float(area / scale) if scale > 0 else math.inf


def roll(landmarks: Points) -> float:
    """Degrees by which the head is tilted to either side, 0 to 180."""
    x, y = landmarks[1] - landmarks[0]
    return abs(math.degrees(math.atan2(y, x)))


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian of an ARCFACE_112 crop, over the variance of its grey values; 0 for a plain one.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, LAPV; the division is ours.
    """
    grey = cv2.cvtColor(crop[_INNER], cv2.COLOR_RGB2GRAY).astype(np.float32)
    contrast = float(grey.var())
    inside = cv2.Laplacian(grey, cv2.CV_32F)[1:-1, 1:-1]
    return float(inside.var()) / contrast if contrast > 0 else 0.0
