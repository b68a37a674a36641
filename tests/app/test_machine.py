"""What this machine is, read from files as Linux writes them."""

import os

import pytest

from app.machine import disk, processor

X86 = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 avx2 fma avx512f avx512_vnni\n\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\n\n"


@pytest.fixture
def root(tmp_path):
    """A file system with these files: path -> text."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("text", "features"),
    [(X86 * 2, ("avx2", "fma", "avx512f", "avx512_vnni")), (ARM, ("asimd", "asimddp")), ("", ())],
)
def test_features(root, text, features):
    assert processor(root({"proc/cpuinfo": text})).features == features


def test_the_name_and_the_cores_of_this_process(root):
    found = processor(root({"proc/cpuinfo": X86}))
    assert (found.name, found.cores) == ("Some CPU", len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_limit_of_the_control_group(root, files, limit):
    assert processor(root(files)).limit == limit


def test_the_nearest_mount_is_the_file_system(root, tmp_path):
    folder = tmp_path / "my people"
    folder.mkdir()
    mounted = str(folder).replace(" ", "\\040")
    mounts = f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:1 / {mounted} rw shared:1 - nfs4 server:/x rw\n"
    made = root({"proc/self/mountinfo": mounts})
    assert (disk(folder, made).kind, disk(folder, made).remote) == ("nfs4", True)
    assert disk(tmp_path, made).kind == "ext4"
    assert disk(folder, made).free > 0


def test_a_system_that_tells_nothing(tmp_path):
    assert disk(tmp_path, tmp_path).kind == "unknown"
