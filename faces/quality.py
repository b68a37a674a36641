"""How good the picture of a face is: reasons why its embedding may not be trusted. A face is never hidden for them."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from faces.align import ARCFACE_112, Image, align
from faces.detect import Face

MIN_EYE_DISTANCE: Final = 16.0
MIN_SHARPNESS: Final = 20.0
MAX_YAW: Final = 0.5
MAX_ROLL: Final = 45.0
MIN_SCORE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Quality:
    """`ok` when there is no reason for doubt."""

    ok: bool
    reasons: tuple[str, ...]


def assess(image: Image, face: Face) -> Quality:
    """The reasons, of "small", "blurred", "profile", "tilted", "uncertain_detection", that hold for a face."""
    left_eye, right_eye, nose = face.landmarks[:3].astype(float)
    eyes = right_eye - left_eye
    crop = align(image, face.landmarks, ARCFACE_112)
    sharpness = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()
    distance = max(float(np.hypot(*eyes)), 1e-6)
    yaw = abs(float(np.dot(nose - (left_eye + right_eye) / 2, eyes))) / distance**2
    verdicts = {
        "small": distance < MIN_EYE_DISTANCE,
        "blurred": sharpness < MIN_SHARPNESS,
        "profile": yaw > MAX_YAW,
        "tilted": abs(math.degrees(math.atan2(eyes[1], eyes[0]))) > MAX_ROLL,
        "uncertain_detection": face.score < MIN_SCORE,
    }
    reasons = tuple(reason for reason, holds in verdicts.items() if holds)
    return Quality(not reasons, reasons)
