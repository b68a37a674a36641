"""The container and the project file say the same as the locks and the folders."""

import re
import tomllib
from pathlib import Path
from types import ModuleType

import yaml


def test_every_package_has_its_layer(root: Path) -> None:
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    (layers,) = (contract["layers"] for contract in contracts["contracts"] if contract["type"] == "layers")
    assert {name for layer in layers for name in layer.split(" | ")} == set(contracts["root_packages"]) == packages


def test_the_wheel_holds_the_four_packages(root: Path) -> None:
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == {"faces", "kd", "index", "app"}


def test_the_image_keeps_no_build_tool_but_the_one_that_faiss_imports(root: Path, install: ModuleType) -> None:
    text = (root / "Dockerfile").read_text().replace("\\\n", " ")
    (removed,) = re.findall(r"pip uninstall --yes ([a-z \-]+)", text)
    assert set(removed.split()) == {pin.split("==")[0] for pin in install.pins("build")} - {"packaging"}


def test_the_image_holds_the_service_alone_and_is_nobody_s_root(root: Path) -> None:
    text = (root / "Dockerfile").read_text()
    assert re.findall(r"requirements/(\w+)\.txt", text) == ["build", "serve"]
    assert "\nUSER heirloom\n" in text
    assert "/readyz" in text


def test_what_the_image_is_built_from_passes_the_ignore_list(root: Path) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (root / "Dockerfile").read_text(), re.MULTILINE)
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {path.rstrip("/") for line in copied for path in line.split()} == kept


def test_the_composed_service_is_locked_down(root: Path) -> None:
    service = yaml.safe_load((root / "compose.yaml").read_text())["services"]["heirloom"]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
