"""What this machine is: its processor, what it lets us use of it, and its disks. Linux says so in files."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FEATURES: Final = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp")
"""Of processors, that make inference or search faster; as /proc/cpuinfo spells them, x86 before Arm."""

_ROOT: Final = Path("/")
_NETWORK: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Processor:
    name: str
    features: tuple[str, ...]
    cores: int
    """That this process may run on."""
    limit: float | None
    """Of the control group: the time of so many cores; None: all of it."""


@dataclass(frozen=True, slots=True)
class Disk:
    kind: str
    """ext4, xfs, nfs4, …; unknown where the system does not tell."""
    free: int
    """Bytes."""

    @property
    def remote(self) -> bool:
        """Locks and shared memory do not reach other machines: WAL is not safe there."""
        return self.kind in _NETWORK

    @property
    def volatile(self) -> bool:
        """Gone with the machine's next start."""
        return self.kind in _VOLATILE


def processor(root: Path = _ROOT) -> Processor:
    """root: of the file system; a test's own, else /."""
    lines = [line.partition(":") for line in _lines(root / "proc/cpuinfo")]
    said = {name.strip().lower(): value.strip() for name, _, value in reversed(lines)}
    flags = set(said.get("flags", said.get("features", "")).split())
    return Processor(
        said.get("model name", "a processor without a name"),
        tuple(name for name in FEATURES if name in flags),
        len(os.sched_getaffinity(0)),
        _core_limit(root),
    )


def disk(path: Path, root: Path = _ROOT) -> Disk:
    """The file system of an existing path."""
    return Disk(_file_system(path.resolve(), root), shutil.disk_usage(path).free)


def _core_limit(root: Path) -> float | None:
    """The smallest limit of our control group and of those above it: version 2, else version 1."""
    limits: list[float | None] = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("" if not controllers else "cpu")
        inside = top / path.strip("/")
        limits += [_quota(folder) for folder in (inside, *inside.parents) if folder.is_relative_to(top)]
    return min((limit for limit in limits if limit is not None), default=None)


def _quota(folder: Path) -> float | None:
    words = [word for line in _lines(folder / "cpu.max") for word in line.split()] or [
        line.strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for line in _lines(folder / name)
    ]
    if len(words) != 2 or not words[0].isdecimal():  # max, or -1
        return None
    return int(words[0]) / int(words[1])


def _file_system(path: Path, root: Path) -> str:
    """The kind of the mount that is nearest to the path; of two at the same place, the later one hides the other."""
    best, kind = -1, "unknown"
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        mounted = before.split()[4].encode().decode("unicode_escape")  # a space is \040
        if path.is_relative_to(mounted) and len(mounted) >= best:
            best, kind = len(mounted), after.split()[0]
    return kind


def _lines(path: Path) -> list[str]:
    """None where there is no such file: another system, or a container that hides it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
