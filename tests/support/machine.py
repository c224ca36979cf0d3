"""A machine of its own under a real systemd: namespaces, and this machine's files below a layer that is thrown away."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from streamclf.commands.needs import program_folders

SYSTEMD = Path("/lib/systemd/systemd")
ROOT = Path(__file__).resolve().parents[2]

# $1: a folder with `etc`, which is laid over /etc, and `out`, which is /run/out there, with the script `probe`; what
# else is named are folders to be seen there, too. The network is one of its own, with nothing but loopback. Settings of
# the kernel are not to be written: it is the one of this machine.
_BOOT = r"""
set -e
base="$1"; shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$base/disk"
mkdir "$base"/disk/{up,work,new}
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/disk/up,workdir=$base/disk/work" "$base/disk/new"
new="$base/disk/new"
mount -t proc proc "$new/proc"
mount -o bind,ro "$new/proc/sys" "$new/proc/sys"
mount -t sysfs -o ro sysfs "$new/sys"
mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$new/dev"
for name in null zero full random urandom tty; do
  touch "$new/dev/$name"
  mount --bind "/dev/$name" "$new/dev/$name"
done
mkdir "$new/dev/pts" "$new/dev/mqueue" "$new/dev/hugepages"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$new/dev/pts"; ln -s pts/ptmx "$new/dev/ptmx"
mkdir "$new/dev/shm"; mount -t tmpfs tmpfs "$new/dev/shm"; ln -s /proc/self/fd "$new/dev/fd"
mount -t tmpfs tmpfs "$new/run"
mount -t tmpfs tmpfs "$new/tmp"
for folder in "$@"; do
  if [ ! -e "$new$folder" ] || [ "$(stat -c %d "$folder")" != "$(stat -c %d /)" ]; then
    mkdir -p "$new$folder"
    mount --bind "$folder" "$new$folder"
  fi
done
mkdir "$new/run/out" "$new/run/old"
mount --bind "$base/out" "$new/run/out"
rm -rf "$new/etc/streamclf"
cp -a "$base/etc/." "$new/etc/"
cd "$new"
pivot_root . run/old
umount -l /run/old
mount --make-rshared /  # as a machine has it that boots by itself: credentials are mounted by a helper
python="$PROBE_PYTHON"
"$python" -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))'
export container=other
exec /lib/systemd/systemd --system --unit=probe.target --log-target=journal --show-status=0
"""
_TARGET = "[Unit]\nRequires=systemd-journald.service\nAfter=systemd-journald.service\nWants=probe.service\n"
_PROBE = """[Unit]
DefaultDependencies=no
After=systemd-journald.service
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash -c 'cd /; /bin/bash /run/out/probe > /run/out/said 2>&1'
ExecStopPost=/bin/systemctl poweroff --force --force
"""


class Answer(NamedTuple):
    """said: what the script wrote. log: the journal of that machine."""

    said: str
    log: str


def booted(base: Path, script: str, etc: Mapping[str, str | tuple[str, int]]) -> Answer:
    """Boot, run `script` (bash) as root there, and power off.

    etc: path below /etc -> text, or text and mode. Skips where this machine cannot.
    """
    for needed in ("unshare", "pivot_root", "systemctl"):
        if shutil.which(needed) is None or not SYSTEMD.exists():
            pytest.skip("systemd or util-linux is not installed, so no machine of its own can be booted")
    if os.geteuid() != 0:
        pytest.skip("to boot a machine of its own takes root")
    for name in ("disk", "out", "etc/systemd/system"):
        (base / name).mkdir(parents=True, exist_ok=True)
    units = {"systemd/system/probe.target": _TARGET, "systemd/system/probe.service": _PROBE}
    for name, content in {**units, **etc}.items():
        text, mode = content if isinstance(content, tuple) else (content, 0o644)
        path = base / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    last = "trap 'journalctl --no-pager -o cat > /run/out/log 2>&1' EXIT\n"
    (base / "out" / "probe").write_text(last + script)
    folders = [str(folder) for folder in (ROOT, *program_folders()) if folder.exists()]
    done = subprocess.run(
        ["unshare", "-m", "-p", "-f", "-C", "-u", "-i", "-n", "bash", "-c", _BOOT, "boot", str(base), *folders],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PROBE_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    said = base / "out" / "said"
    if not said.exists():
        pytest.skip(f"no machine of its own can be booted here: {done.stderr.strip()[-300:] or done.returncode}")
    log = base / "out" / "log"
    return Answer(said.read_text(), log.read_text() if log.exists() else "")
