"""The audit says what it found, and what it could not ask."""

from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def said(audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What the audit prints and exits with, given pip-audit's answer."""

    def run(*packages: dict[str, Any]) -> tuple[str, object]:
        monkeypatch.setattr(audit, "audit", lambda _pins: list(packages))
        with pytest.raises(SystemExit) as ended:
            audit.main()
        return capsys.readouterr().out, ended.value.code

    return run


SOUND = {"name": "one", "version": "1", "vulns": []}
VULNERABLE = {"name": "two", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "three", "skip_reason": "not found"}


def test_sound_packages_pass(said) -> None:
    assert said(SOUND) == ("Audit: of 1 packages 0 have known vulnerabilities; PyPI did not answer for 0.\n", 0)


def test_a_vulnerability_is_named_with_its_cure_and_fails(said) -> None:
    printed, code = said(SOUND, VULNERABLE)
    assert printed.startswith("two 2: CVE-1, fixed in 2.1\n")
    assert code == 1


def test_no_answer_is_not_taken_for_a_good_one(said) -> None:
    printed, code = said(UNKNOWN)
    assert printed == "Audit: of 1 packages 0 have known vulnerabilities; PyPI did not answer for 1.\n"
    assert code == 0


def test_it_does_not_wait_for_pypi_forever(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PATIENCE", 0.0)
    with pytest.raises(SystemExit, match="Not audited: PyPI did not answer"):
        audit.audit(["one==1"])
