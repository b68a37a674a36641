"""`app serve` whose detector never comes back from a photo of HEIGHT pixels, and logs STUCK when it is inside.

python -m tests.app.hanging serve …
"""

import logging
import threading

import app.engine
from app.cli import main
from tests.app.parts import SquareDetector

HEIGHT = 20
STUCK = "a photo is looked at for ever"


class Hanging(SquareDetector):
    def detect(self, images):
        if images[0].shape[0] == HEIGHT:
            logging.getLogger(__name__).warning(STUCK)
            threading.Event().wait()
        return super().detect(images)


if __name__ == "__main__":
    app.engine.open_detector = lambda **_: Hanging()
    main()
