"""Ask PyPI for known vulnerabilities in the locks: `make audit`. What could not be asked is said, not passed over."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from install import pins

AUDITED: Final = ("dev", "demo", "gpu")  # with what they include, every lock
PATIENCE: Final = 600.0  # seconds for all answers


def audit(lines: list[str]) -> list[dict[str, Any]]:
    """pip-audit's answer for each `name==version`: name, version and vulns, or name and skip_reason."""
    with TemporaryDirectory() as scratch:
        wanted, answer = Path(scratch, "pins.txt"), Path(scratch, "answer.json")
        wanted.write_text("\n".join(lines))
        program = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
        command = [*program, "--format", "json", "--output", str(answer), "--requirement", str(wanted)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603
        except subprocess.TimeoutExpired:
            sys.exit(f"Not audited: PyPI did not answer for all packages within {PATIENCE:.0f} s")
        if not answer.is_file():
            sys.exit(f"Not audited: {(done.stderr.strip().splitlines() or ['pip-audit did not answer'])[-1]}")
        found: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
        return found


def main() -> None:
    found = audit(sorted({pin for lock in AUDITED for pin in pins(lock)}))
    asked = [package for package in found if "vulns" in package]
    for package in asked:
        for vulnerability in package["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no release yet"
            print(f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    vulnerable = sum(bool(package["vulns"]) for package in asked)
    unknown = len(found) - len(asked)
    print(
        f"Audit: of {len(found)} packages {vulnerable} have known vulnerabilities; PyPI did not answer for {unknown}."
    )
    sys.exit(1 if vulnerable else 0)


if __name__ == "__main__":
    main()
