"""Set up an environment from the locks: `python3 requirements/install.py demo` makes .venv with requirements/demo.txt.

Every make target calls this; it does nothing where the environment already holds the lock as it stands. Whatever
`python3` is runs this file, so nothing in it needs a newer one than 3.7 to be read.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
UNRESOLVED = ("--no-deps", "--no-build-isolation")
"""No resolver, so that facenet-pytorch's old pins do not count, and no build tools but those of build.txt."""
PATIENCE = {"PIP_DEFAULT_TIMEOUT": "60"}
"""Seconds that pip waits for the next byte, unless the surroundings say otherwise: a mirror that has to fetch a large
file first may not answer within pip's own 15. Its five attempts are enough: without a network they end in 8 seconds."""
MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Set up an environment from the locks, without a resolver.")
    names = sorted(path.stem for path in LOCKS.glob("*.txt"))
    parser.add_argument("lock", choices=names, help="which of requirements/*.txt")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment (default: .venv)")
    given = parser.parse_args()
    require_python()
    state, stamp = fingerprint(given.lock), given.venv / f".{given.lock}.installed"
    if stamp.is_file() and stamp.read_text() == state:
        return
    folder, started = os.path.relpath(given.venv), time.monotonic()
    say(f"Setting up {folder} from requirements/{given.lock}.txt.")
    install(given.lock, given.venv)
    stamp.write_text(state)
    say(f"{folder} is ready: {size(given.venv) / MB:.0f} MB, set up in {time.monotonic() - started:.0f} s.")


def require_python() -> None:
    """Stop with one sentence when this Python cannot carry the project."""
    found = "{}.{}".format(*sys.version_info)
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python is what this line is there to meet
        sys.exit(f"Python 3.11 or newer is needed; {sys.executable} is {found}. Name one: make PYTHON=python3.12 demo")
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(f"This Python cannot make environments. On Debian or Ubuntu: apt-get install python{found}-venv")


def install(lock: str, folder: Path) -> None:
    """Make the environment, then install the build tools, the lock, and this checkout."""
    if not (folder / "bin" / "pip").exists():  # the last that venv makes, and gone while pip replaces itself
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    run([*pip, "--no-deps", "--requirement", str(LOCKS / "build.txt")])
    run([*pip, *UNRESOLVED, "--requirement", str(LOCKS / f"{lock}.txt")])
    run([*pip, *UNRESOLVED, "--quiet", "--editable", str(ROOT)])
    for pin in pins(lock):
        if pin.startswith("torch=="):
            run([*pip, pin])  # nothing to do for the CPU build; a CUDA build names the libraries that it needs


def pins(lock: str) -> list[str]:
    """Every `name==version` of a lock, after those of the lock that it includes."""
    found: list[str] = []
    for line in (LOCKS / f"{lock}.txt").read_text().splitlines():
        if line.startswith("-r "):
            found += pins(Path(line[len("-r ") :]).stem)
        elif not line.startswith("#"):
            found.append(line)
    return found


def fingerprint(lock: str) -> str:
    """Changes with the pins, with the pyproject.toml that is installed, and with the Python that runs it."""
    parts = [sys.version, str(ROOT), (ROOT / "pyproject.toml").read_text(), *pins(lock)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def run(command: list[str]) -> None:
    code = subprocess.call(command, env={**PATIENCE, **os.environ})  # noqa: S603 - pip, with our own locks
    if code:
        sys.exit(f"Set-up stopped: pip ended with exit code {code}, its reason stands above. Run it again to go on.")


def say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted. Run it again to go on.")
