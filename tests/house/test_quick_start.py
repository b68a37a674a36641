"""The commands of the README and of docs/operate.md, run in their order on two portraits."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from app.schemas import IdentifyAnswer
from demo.photos import PORTRAITS
from tests.house.commands import at_any_time, commands

ROOT = Path(__file__).parents[2]
PROGRAMS = ("app", "index")
PATIENCE = 300.0  # seconds until the service listens, and until it has stopped
WRITTEN = "http://127.0.0.1:8000"  # where it listens in the pages


class Reader:
    """Types commands in a folder with photos, and reads what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(ROOT), "HEIRLOOM_PORT": "0"}  # the system finds a free one
        self.url = ""
        self.service: subprocess.Popen[bytes] | None = None

    def type(self, words: list[str]) -> str:
        """What a command prints; a service is started and left running. Fails when the command does."""
        words = at_any_time(words)
        command = [sys.executable, "-m", f"{words[0]}.cli", *words[1:]] if words[0] in PROGRAMS else words
        if words[0] == "python":
            command = [sys.executable, *words[1:]]
        if words[0] == "curl":
            command = [word.replace(WRITTEN, self.url) for word in ["curl", "--silent", *words[1:]]]
        if words[0] == "export":
            return self._export(words)
        if words[:2] == ["app", "serve"]:
            with (self.folder / "service.log").open("w") as log:
                self.service = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
            self._wait_until_ready()
            return ""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def _export(self, words: list[str]) -> str:
        name = words[1].partition("=")[0]
        script = f'{" ".join(words)}; printf %s "${name}"'
        self.environment[name] = subprocess.check_output(["sh", "-c", script], env=self.environment, text=True)
        return ""

    def leave(self) -> None:
        if self.service is not None:
            self.service.terminate()
            assert self.service.wait(PATIENCE) == 0

    def _wait_until_ready(self) -> None:
        """Until it says where it listens."""
        assert self.service is not None
        log, deadline = self.folder / "service.log", time.monotonic() + PATIENCE
        while not (ready := re.search(r"^Ready: (\S+)\n", log.read_text(), re.MULTILINE)):
            assert self.service.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        self.url = self.environment["HEIRLOOM_URL"] = ready[1]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """With two people to enrol, ada and bob, a photo of ada, and one of hers that is not enrolled."""
    for name, portrait in zip(("ada", "bob"), PORTRAITS, strict=True):
        (tmp_path / "people" / name).mkdir(parents=True)
        shutil.copy(portrait.locate(), tmp_path / "people" / name)
    shutil.copy(PORTRAITS[0].locate(), tmp_path / "photo.jpg")
    (tmp_path / "probes" / "ada").mkdir(parents=True)
    with Image.open(PORTRAITS[0].locate()) as portrait:
        ImageOps.mirror(portrait).save(tmp_path / "probes" / "ada" / "mirrored.jpg")
    someone = Reader(tmp_path)
    yield someone
    someone.leave()


@pytest.mark.usefixtures("portraits")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readme_takes_your_own_photos_to_names(reader: Reader) -> None:
    typed = [words for words in commands(ROOT / "README.md") if words[0] in (*PROGRAMS, "curl")]
    until = typed.index(["app", "swap", "--back"]) + 1
    printed = [(words, reader.type(words)) for words in typed[:until]]
    answers = [IdentifyAnswer.model_validate_json(output) for words, output in printed if words[0] == "curl"]
    assert [answer.model.name for answer in answers] == ["dlib", "small-dlib"]
    assert [face.decision.subject_id for answer in answers for face in answer.faces] == ["ada", "ada"]


@pytest.mark.usefixtures("portraits")
def test_a_gallery_is_kept_as_the_manual_says(reader: Reader) -> None:
    typed = [words for words in commands(ROOT / "docs" / "operate.md") if words[0] in ("index", "python", "export")]
    typed.sort(key=lambda words: words[1] == "forget")  # the other chapters speak of people who are there
    for_millions = [words for words in typed if words[1] == "approximate" and "--from" in words]
    printed = {" ".join(words): reader.type(words) for words in typed if words not in for_millions}
    assert for_millions
    assert (reader.folder / "usb.heirloom").is_file()
    assert (reader.folder / "thresholds.png").is_file()
    stats = "index stats --gallery people.heirloom"
    assert printed[stats].startswith("2 subjects")
    assert reader.type(stats.split()).startswith("0 subjects")
