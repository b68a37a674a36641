"""Setting an environment up: what makes it start again, and what it says when it cannot."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def locks(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one small lock that includes another."""
    folder = tmp_path / "requirements"
    folder.mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (folder / "inner.txt").write_text("# written by a script\none==1\n")
    (folder / "outer.txt").write_text("-r inner.txt\ntwo==2\n")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "LOCKS", folder)
    return folder


@pytest.mark.usefixtures("locks")
def test_a_lock_starts_with_what_it_includes(install: ModuleType) -> None:
    assert install.pins("outer") == ["one==1", "two==2"]


def test_a_new_pin_in_an_included_lock_asks_for_another_set_up(install: ModuleType, locks: Path) -> None:
    before = install.fingerprint("outer")
    (locks / "inner.txt").write_text("# written another day\none==1\n")
    assert install.fingerprint("outer") == before
    (locks / "inner.txt").write_text("one==1.1\n")
    assert install.fingerprint("outer") != before


def test_so_does_a_change_of_the_project_file(install: ModuleType, locks: Path) -> None:
    before = install.fingerprint("outer")
    (locks.parent / "pyproject.toml").write_text("[project]\nversion = '2'\n")
    assert install.fingerprint("outer") != before


@pytest.mark.usefixtures("locks")
def test_an_environment_that_holds_the_lock_is_left_alone(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []

    def pretend(lock: str, folder: Path) -> None:
        installed.append(lock)
        folder.mkdir(exist_ok=True)

    monkeypatch.setattr(install, "install", pretend)
    monkeypatch.setattr(sys, "argv", ["install.py", "outer", "--venv", str(tmp_path / "env")])
    install.main()
    install.main()
    assert installed == ["outer"]


@pytest.mark.usefixtures("locks")
def test_a_failed_set_up_is_not_remembered(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_half_way(_lock: str, folder: Path) -> None:
        folder.mkdir()
        install.run([sys.executable, "-c", "raise SystemExit(7)"])

    monkeypatch.setattr(install, "install", stop_half_way)
    monkeypatch.setattr(sys, "argv", ["install.py", "outer", "--venv", str(tmp_path / "env")])
    with pytest.raises(SystemExit, match=r"exit code 7.*Run it again"):
        install.main()
    assert list((tmp_path / "env").iterdir()) == []


@pytest.mark.parametrize(("given", "waits"), [(None, "60"), ("5", "5")])
def test_pip_is_patient_unless_told_otherwise(
    install: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    given: str | None,
    waits: str,
) -> None:
    monkeypatch.delenv("PIP_DEFAULT_TIMEOUT", raising=False)
    if given:
        monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", given)
    install.run([sys.executable, "-c", "import os; print(os.environ['PIP_DEFAULT_TIMEOUT'])"])
    assert capfd.readouterr().out == f"{waits}\n"


def test_an_old_python_is_told_what_to_do(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed; .* is 3\.9\. .*make PYTHON="):
        install.require_python()


def test_a_python_without_venv_is_told_what_to_do(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit, match=r"apt-get install python3\.\d+-venv"):
        install.require_python()


def test_an_unknown_lock_is_a_usage_error(root: Path) -> None:
    command = [sys.executable, str(root / "requirements" / "install.py"), "everything"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "choose from" in done.stderr
