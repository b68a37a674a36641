"""Write the locks again from pyproject.toml: `make lock`. Asks PyPI for today's versions, installs nothing.

Run it with the oldest Python that the project supports: a newer one needs no back-ports, and would leave them out.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
HELD: Final = ("torch==2.13.0",)
"""Versions that a refresh does not move: the shipped students were trained and exported with this one."""
LEFT_OUT: Final = re.compile(r"openvino-telemetry|torchvision|triton|(nvidia|cuda)-.*")
"""OpenVINO runs without its telemetry; a CUDA build of torch brings its own libraries when install.py asks for it."""
_HEADER: Final = "# Written by `make lock` (requirements/lock.py). Install: python3 requirements/install.py {name}\n"


@dataclass(frozen=True, slots=True)
class Lock:
    """One file: what it includes, what it asks for, and what it holds for its files alone, without requirements."""

    name: str
    includes: str | None
    wanted: tuple[str, ...]
    as_files: tuple[str, ...] = ()
    left_out: re.Pattern[str] = LEFT_OUT


def locks(project: Mapping[str, Any]) -> list[Lock]:
    """The locks in the order in which they build on each other. `project` is the table of pyproject.toml.

    The GPU lock takes faiss-gpu where the others take faiss-cpu: both are called `faiss`, and only one can be there.
    """
    search = [line for line in project["dependencies"] if line.startswith("faiss-cpu")]
    common = [line for line in project["dependencies"] if line not in search]
    extras = {name: tuple(lines) for name, lines in project["optional-dependencies"].items()}
    nothing = re.compile("(?!)")
    return [
        Lock("build", None, ("pip", "setuptools", "hatchling", "editables")),
        Lock("common", "build", tuple(common), ("facenet-pytorch==2.6.0", "face_recognition_models==0.3.0")),
        Lock("serve", "common", tuple(search)),
        Lock("demo", "serve", (), ("matplotlib", "scikit-image")),
        Lock("kd", "serve", extras["kd"]),
        Lock("dev", "kd", extras["dev"], ("compreface-sdk==0.6.0",)),
        Lock("gpu", "common", extras["gpu"], left_out=nothing),
    ]


def refresh(lock: Lock, held: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Write one lock and return all that it pins, included files too: name -> version. `held` is that of the others."""
    before = held.get(lock.includes or "", {})
    found = resolve(lock.wanted, [*HELD, *_pins(before)]) | resolve(lock.as_files, [], "--no-deps")
    own = {name: found[name] for name in found if name not in before and not lock.left_out.fullmatch(name)}
    lines = [f"-r {lock.includes}.txt"] if lock.includes else []
    text = _HEADER.format(name=lock.name) + "\n".join([*lines, *_pins(own)]) + "\n"
    (FOLDER / f"{lock.name}.txt").write_text(text)
    return dict(before) | own


def resolve(wanted: Iterable[str], held: Iterable[str], *options: str) -> dict[str, str]:
    """What pip would install for these requirements: name -> version, without the part after "+" (`2.13.0+cpu`)."""
    if not (asked := list(wanted)):
        return {}
    with TemporaryDirectory() as scratch:
        report, constraints = Path(scratch, "report.json"), Path(scratch, "held.txt")
        constraints.write_text("\n".join(held))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", *options]
        subprocess.run([*pip, "--constraint", constraints, "--report", report, *asked], check=True)  # noqa: S603
        installed = json.loads(report.read_text())["install"]
    names = [(item["metadata"]["name"], item["metadata"]["version"]) for item in installed]
    return {re.sub(r"[-_.]+", "-", name).lower(): version.partition("+")[0] for name, version in names}


def _pins(versions: Mapping[str, str]) -> list[str]:
    return [f"{name}=={versions[name]}" for name in sorted(versions)]


def main() -> None:
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    held: dict[str, dict[str, str]] = {}
    for lock in locks(project):
        held[lock.name] = refresh(lock, held)
        print(f"requirements/{lock.name}.txt: {len(held[lock.name])} packages with what it includes", flush=True)


if __name__ == "__main__":
    main()
